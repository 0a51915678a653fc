"""A worker of the shop in Python that dies at random.

    worker.py HOST PORT QUEUE FILE SEED

Writes a line of JSON for each message that it has handled, before it acknowledges it. In one message of two hundred it
ends without a word: before it handles the message, or when that is done and not acknowledged yet."""

import json
import os
import random
import signal
import sys
import time

import pika
import receiver
import topology

DEATHS = 1 / 200
PREFETCH = 20


def main():
    host, port, queue, path, seed = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    chance = random.Random(int(seed))
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, int(port), heartbeat=30))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    with open(path, "a", encoding="ascii") as handled:

        def handle(channel, method, properties, body):
            die = chance.random() < DEATHS
            if die and chance.random() < 0.5:
                os._exit(1)
            message, attempt = json.loads(body), (properties.headers or {}).get("x-delivery-count", 0)
            succeeds = queue != "webhooks" or receiver.succeeds(message["order"], attempt)
            line = {**message, "at": time.time(), "attempt": attempt, "ok": succeeds, "redelivered": method.redelivered}
            handled.write(json.dumps(line) + "\n")
            handled.flush()
            if die:
                os._exit(1)
            if succeeds:
                channel.basic_ack(method.delivery_tag)
            else:
                channel.basic_nack(method.delivery_tag)

        channel.basic_consume(topology.name(queue), handle)
        channel.start_consuming()


main()
