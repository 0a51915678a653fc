"""A consumer chooses the wait of a message with pika, on channels of each mode."""

import sys
import time

import pika

RETRY = "amq.forebay.retry"


def main(address):
    host, port = address.rsplit(":", 1)
    connection = pika.BlockingConnection(pika.ConnectionParameters(host.strip("[]"), int(port)))
    for mode in ["plain", "confirm", "transaction"]:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        if mode == "confirm":
            channel.confirm_delivery()
        if mode == "transaction":
            channel.tx_select()
        commit = channel.tx_commit if mode == "transaction" else lambda: None
        channel.basic_publish("", queue, b"work")
        channel.basic_publish("", queue, b"behind")
        commit()
        first = fetch(channel, queue)
        assert first[2] == b"work", first
        began = time.monotonic()
        instruct(channel, first[0].delivery_tag, 400)
        if mode == "transaction":
            channel.tx_rollback()
            assert parked(channel, queue, first[0].delivery_tag), "a rollback settles nothing"
            commit()
        assert fetch(channel, queue)[2] == b"behind"
        again = fetch(channel, queue)
        assert again[2] == b"work" and time.monotonic() - began >= 0.4
        assert again[0].redelivered and again[1].headers["x-delivery-count"] == 1, again[1]
        channel.close()
    connection.close()


def instruct(channel, tag, delay):
    headers = {"x-delivery-tag": tag, "x-delay": delay}
    channel.basic_publish("", RETRY, b"", pika.BasicProperties(headers=headers), mandatory=True)


def parked(channel, queue, tag):
    """The delivery is held still: the same instruction is taken once more."""
    instruct(channel, tag, 400)
    return True


def fetch(channel, queue):
    while True:
        got = channel.basic_get(queue)
        if got[0] is not None:
            return got
        time.sleep(0.01)


main(sys.argv[1])
