#!/usr/bin/env python3
"""pika: one producer and one consumer, each a process with a connection of its own.

    pika_load.py plain|confirms URL SECONDS

`plain`: no confirms. `confirms`: pika's blocking publisher waits for each. Each message of 1 KiB is persistent
and acknowledged by itself, prefetch 100. Prints one line of JSON.
"""

import json
import multiprocessing
import sys
import time

import pika

QUEUE = "load.pika"
BODY = bytes(range(256)) * 4


def channel_of(url):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    return connection, connection.channel()


def consume(url, consumed, is_over):
    connection, channel = channel_of(url)
    channel.basic_qos(prefetch_count=100)
    for method, _, _ in channel.consume(QUEUE, inactivity_timeout=0.2):
        if is_over.value:
            break
        if method:
            channel.basic_ack(method.delivery_tag)
            consumed.value += 1
    connection.close()


def main():
    mode, url, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    connection, channel = channel_of(url)
    channel.queue_delete(QUEUE)
    channel.queue_declare(QUEUE, durable=True)
    consumed, is_over = multiprocessing.Value("q", 0), multiprocessing.Value("b", 0)
    consumer = multiprocessing.Process(target=consume, args=(url, consumed, is_over))
    consumer.start()
    time.sleep(0.3)
    if mode == "confirms":
        channel.confirm_delivery()
    persistent = pika.BasicProperties(delivery_mode=2)
    published, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        channel.basic_publish("", QUEUE, BODY, persistent)
        published += 1
    took, taken = time.monotonic() - began, consumed.value
    is_over.value = 1
    consumer.join()
    channel.queue_delete(QUEUE)
    connection.close()
    print(json.dumps({"published": published, "consumed": taken, "seconds": took}))


main()
