#!/bin/sh
# rabbitmq-c, by its command line tools: amqp_tools.sh amqp://guest:guest@HOST:PORT
set -eu
name=tools-$$
amqp-declare-queue --url "$1" --durable --queue "$name" > /dev/null
for body in one two three; do
    amqp-publish --url "$1" --persistent --routing-key "$name" --content-type text/plain --body "$body"
done
[ "$(amqp-get --url "$1" --queue "$name")" = one ]
[ "$(amqp-consume --url "$1" --queue "$name" --count 2 --prefetch-count 1 cat)" = twothree ]
amqp-delete-queue --url "$1" --queue "$name" > /dev/null
! amqp-get --url "$1" --queue "$name" 2> /dev/null
