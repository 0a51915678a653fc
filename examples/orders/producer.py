"""Publishes orders as persistent JSON messages with publisher confirms.

Up to WINDOW orders are on their way at once. When the connection breaks, what was not confirmed
is published again over a new one: at least once, so a worker may see an order twice.

    producer.py HOST PORT COUNT CONFIRMED_FILE

Writes `number amount` of every confirmed order to CONFIRMED_FILE, and its progress to stdout.
"""

import collections
import json
import sys
import time

import pika

QUEUE = "orders"
WINDOW = 1000
RECONNECT_SECONDS = 0.2


def order(number):
    """An order that depends on its number alone, so that anybody can check it."""
    lines = [
        {"sku": f"SKU-{(number * 7 + line) % 5000:04}", "quantity": 1 + (number + line) % 4}
        for line in range(1 + number % 5)
    ]
    return {
        "id": number,
        "customer": f"customer-{number % 977}",
        "amount_cents": 100 + number * 37 % 50_000,
        "currency": "EUR",
        "lines": lines,
    }


class Producer:
    def __init__(self, host, port, count, confirmed_file):
        self.parameters = pika.ConnectionParameters(host, port, heartbeat=30)
        self.count = count
        self.confirmed_file = confirmed_file
        self.to_send = collections.deque(range(count))
        self.unconfirmed = collections.OrderedDict()
        self.next_tag = 1
        self.confirmed = 0
        self.connection = None
        self.channel = None

    def run(self):
        while self.confirmed < self.count:
            self.connection = pika.SelectConnection(
                self.parameters,
                on_open_callback=self.on_open,
                on_open_error_callback=self.on_gone,
                on_close_callback=self.on_gone,
            )
            self.connection.ioloop.start()
            if self.confirmed < self.count:
                time.sleep(RECONNECT_SECONDS)

    def on_open(self, connection):
        connection.channel(on_open_callback=self.on_channel)

    def on_channel(self, channel):
        self.channel = channel
        channel.queue_declare(QUEUE, durable=True, callback=self.on_declared)

    def on_declared(self, _frame):
        self.next_tag = 1
        self.channel.confirm_delivery(self.on_confirm, callback=lambda _frame: self.fill())

    def fill(self):
        while self.to_send and len(self.unconfirmed) < WINDOW:
            number = self.to_send.popleft()
            self.channel.basic_publish(
                "",
                QUEUE,
                json.dumps(order(number)),
                pika.BasicProperties(
                    content_type="application/json", delivery_mode=2, message_id=str(number)
                ),
            )
            self.unconfirmed[self.next_tag] = number
            self.next_tag += 1

    def on_confirm(self, frame):
        method = frame.method
        if not isinstance(method, pika.spec.Basic.Ack):
            sys.exit(f"the broker refused an order: {method}")
        if method.multiple:
            tags = []
            for tag in self.unconfirmed:
                if tag > method.delivery_tag:
                    break
                tags.append(tag)
        else:
            tags = [method.delivery_tag]
        for tag in tags:
            number = self.unconfirmed.pop(tag)
            self.confirmed_file.write(f"{number} {order(number)['amount_cents']}\n")
            self.confirmed += 1
            if self.confirmed % 1000 == 0:
                print(self.confirmed, flush=True)
        if self.confirmed == self.count:
            self.connection.close()
        elif self.channel.is_open:
            self.fill()

    def on_gone(self, connection, reason):
        if self.confirmed < self.count:
            print(f"connection lost: {reason!r}", file=sys.stderr, flush=True)
        self.to_send.extendleft(reversed(self.unconfirmed.values()))
        self.unconfirmed.clear()
        connection.ioloop.stop()


def main():
    host, port, count, path = sys.argv[1:]
    with open(path, "w", encoding="ascii") as confirmed_file:
        Producer(host, int(port), int(count), confirmed_file).run()


if __name__ == "__main__":
    main()
