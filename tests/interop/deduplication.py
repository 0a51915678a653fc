#!/usr/bin/env python3
"""What a queue with a deduplication window does for pika.

    tests/interop/deduplication.py amqp://guest:guest@127.0.0.1:5672"""

import sys

import pika

HEADER = "x-deduplication-header"


def count(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def refused(connection, arguments):
    channel = connection.channel()
    try:
        channel.queue_declare("", exclusive=True, arguments=arguments)
    except pika.exceptions.ChannelClosedByBroker as closed:
        assert closed.reply_code == 406, closed
        return closed.reply_text
    raise AssertionError(f"{arguments} are accepted")


def main():
    connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
    channel = connection.channel()
    channel.confirm_delivery()
    arguments = {"x-dedup-window": 600_000, "x-dedup-size": 100}
    queue = "deduplicated"
    channel.queue_delete(queue)
    channel.queue_declare(queue, durable=True, arguments=arguments)

    def publish(**properties):
        before = count(channel, queue)
        channel.basic_publish("", queue, b"body", pika.BasicProperties(**properties), mandatory=True)
        return count(channel, queue) - before

    assert publish(message_id="a") == 1
    assert publish(message_id="a") == 0
    assert publish(message_id="b", headers={HEADER: "a"}) == 0, "the header goes before the id"
    assert publish(headers={HEADER: 7}) == 1
    assert publish(headers={HEADER: 2**40}) == 1
    assert publish(headers={HEADER: 7, "other": [1, {"deep": "table"}]}) == 0
    assert publish() == 1 and publish() == 1, "without a key nothing is a duplicate"
    assert publish(message_id="c", delivery_mode=2) == 1

    # A transaction that is rolled back leaves no key.
    transaction = connection.channel()
    transaction.tx_select()
    twice = pika.BasicProperties(message_id="tx")
    for end, grown in [(transaction.tx_rollback, 0), (transaction.tx_commit, 1), (transaction.tx_commit, 0)]:
        before = count(channel, queue)
        for _ in range(2):
            transaction.basic_publish("", queue, b"body", twice)
        end()
        assert count(channel, queue) - before == grown

    # With other arguments it is another queue; a purge takes no key.
    try:
        connection.channel().queue_declare(queue, durable=True, arguments={**arguments, "x-dedup-window": 1})
        raise AssertionError("declared with another window")
    except pika.exceptions.ChannelClosedByBroker as closed:
        assert closed.reply_code == 406 and "x-dedup-window" in closed.reply_text, closed
    channel.queue_purge(queue)
    assert publish(message_id="a") == 0

    channel.queue_delete(queue)

    assert "'x-dedup-size'" in refused(connection, {"x-dedup-size": 5})
    text = refused(connection, {"x-dedup-window": 1, "x-dedup-size": 10_000_001})
    assert "an integer from 1 to 10000000" in text, text
    assert "'x-dedup-window'" in refused(connection, {"x-dedup-window": "1m"})
    connection.close()


main()
