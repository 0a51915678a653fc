#!/usr/bin/env python3
"""A consumer that asks for more time, and one that hangs, with pika.

    tests/interop/leases.py amqp://guest:guest@127.0.0.1:5672"""

import sys
import time

import pika

LEASE_MS = 600


def refused(connection, **headers):
    channel = connection.channel()
    channel.basic_publish("", "amq.forebay.extend", b"", pika.BasicProperties(headers=headers))
    try:
        while True:
            connection.process_data_events(0.1)
            channel.queue_declare("leases", passive=True)
    except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ChannelWrongStateError):
        pass
    except pika.exceptions.ChannelClosed:
        pass
    assert not channel.is_open


def main():
    connection, other = [pika.BlockingConnection(pika.URLParameters(sys.argv[1])) for _ in range(2)]
    channel, rival = connection.channel(), other.channel()
    channel.queue_delete("leases")
    channel.queue_declare("leases", durable=True)
    for number in range(2):
        channel.basic_publish("", "leases", b"%d" % number, pika.BasicProperties(delivery_mode=2))
    held, taken = [], []
    channel.basic_consume("leases", lambda _, method, __, body: held.append((method, body)), arguments={"x-lease": LEASE_MS})
    while len(held) < 2:
        connection.process_data_events(0.1)
    rival.basic_consume("leases", lambda _, method, __, body: taken.append(body))

    # Held for three leases: extended again and again, and with it what waits behind it.
    until = time.monotonic() + 3 * LEASE_MS / 1000
    while time.monotonic() < until:
        headers = {"x-delivery-tag": held[0][0].delivery_tag, "x-lease": LEASE_MS}
        channel.basic_publish("", "amq.forebay.extend", b"", pika.BasicProperties(headers=headers))
        connection.process_data_events(LEASE_MS / 4000)
        other.process_data_events(0)
        assert not taken, taken

    # It hangs: both go to the other one.
    while len(taken) < 2:
        other.process_data_events(0.1)
    assert sorted(taken) == [b"0", b"1"]

    # With confirms it is told that it lost the message.
    channel.confirm_delivery()
    try:
        channel.basic_publish("", "amq.forebay.extend", b"", pika.BasicProperties(headers=headers))
        raise AssertionError("what another one has was extended")
    except pika.exceptions.NackError:
        pass

    refused(connection, **{"x-delivery-tag": 99, "x-lease": 1000})
    refused(connection, **{"x-delivery-tag": 1})
    refused(connection, **{"x-delivery-tag": 1, "x-lease": 0})
    other.close()
    connection.channel().queue_delete("leases")
    connection.close()


main()
