"""Processes orders, 50 at most in hand, and acknowledges each when it is done.

    worker.py HOST PORT SEEN_FILE

Writes `number amount` of every order it has processed to SEEN_FILE before it acknowledges it.
Connects again when the connection breaks; ends on SIGTERM.
"""

import json
import signal
import sys
import time

import pika

QUEUE = "orders"
PREFETCH = 50
RECONNECT_SECONDS = 0.2


def consume(parameters, seen_file):
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.queue_declare(QUEUE, durable=True)
    channel.basic_qos(prefetch_count=PREFETCH)

    def on_message(channel, method, _properties, body):
        order = json.loads(body)
        seen_file.write(f"{order['id']} {order['amount_cents']}\n")
        seen_file.flush()
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(QUEUE, on_message)
    channel.start_consuming()


def main():
    host, port, path = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parameters = pika.ConnectionParameters(host, int(port), heartbeat=30)
    with open(path, "w", encoding="ascii") as seen_file:
        while True:
            try:
                consume(parameters, seen_file)
            except (pika.exceptions.AMQPError, OSError) as error:
                print(f"connection lost: {error!r}", file=sys.stderr, flush=True)
                time.sleep(RECONNECT_SECONDS)


if __name__ == "__main__":
    main()
