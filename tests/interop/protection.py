#!/usr/bin/env python3
"""Limits on what a queue delivers, as pika's consumers see them.

    tests/interop/protection.py amqp://guest:guest@127.0.0.1:5672"""

import sys
import time

import pika

WORKERS = 3


def main():
    connections = [pika.BlockingConnection(pika.URLParameters(sys.argv[1])) for _ in range(WORKERS + 1)]
    channel, *workers = [connection.channel() for connection in connections]

    def declare(name, messages, arguments):
        channel.queue_delete(name)
        channel.queue_declare(name, durable=True, arguments=arguments)
        for number in range(messages):
            channel.basic_publish("", name, b"%d" % number)
        while channel.queue_declare(name, passive=True).method.message_count < messages:
            pass

    # Never more than two at a time, however many consumers there are.
    declare("few-at-a-time", 30, {"x-max-in-flight": 2})
    held, done = [], []
    for worker in workers:
        worker.basic_consume("few-at-a-time", lambda worker, method, _, body: held.append((worker, method, body)))
    while len(done) < 30:
        for connection in connections:
            connection.process_data_events(0.01)
        assert len(held) <= 2, held
        if len(held) == 2:
            assert channel.basic_get("few-at-a-time")[0] is None
        if held:
            worker, method, body = held.pop(0)
            worker.basic_ack(method.delivery_tag)
            done.append(body)
    assert len(set(done)) == 30

    # A burst of five, and then ten a second.
    declare("slowly", 20, {"x-rate-limit": 10, "x-rate-burst": 5})
    came, begin = [], time.monotonic()
    for worker in workers:
        worker.basic_consume("slowly", lambda *_: came.append(time.monotonic()), auto_ack=True)
    while len(came) < 20:
        for connection in connections:
            connection.process_data_events(0.01)
    # The last of them can't have come before its token; when it comes at the latest nobody promises.
    assert came[-1] - begin >= 1.49, came

    text = ""
    try:
        connections[0].channel().queue_declare("", exclusive=True, arguments={"x-rate-burst": 5})
    except pika.exceptions.ChannelClosedByBroker as closed:
        text = closed.reply_text
    assert "'x-rate-burst'" in text and "'x-rate-limit'" in text, text
    for name in ["few-at-a-time", "slowly"]:
        channel.queue_delete(name)
    for connection in connections:
        connection.close()


main()
