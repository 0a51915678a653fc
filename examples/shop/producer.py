"""Takes orders, each with a confirm: one message to the exchange that fans out, one e-mail for later, for some a video.

    producer.py HOST PORT ORDERS SEED FILE

Writes a line of JSON for each message that was confirmed. One order in twenty is sent to the payments once more, as a
customer's impatient client does."""

import json
import random
import sys
import time

import pika
import topology

PRODUCTS = 500
VIDEO_EVERY = 400
WINDOW = 500


def messages(orders, seed):
    """`(queue or exchange, routing key, headers, body)` of everything that the orders cause, in their order."""
    chance = random.Random(seed)
    for number in range(orders):
        product = chance.randrange(PRODUCTS)
        order = {"order": number, "product": product, "cents": chance.randrange(100, 50_000)}
        key = f"order-{number}"
        headers = {"product": f"product-{product}", "x-deduplication-header": key}
        yield "order", topology.EXCHANGE, "", headers, order
        if chance.random() < 0.05:
            yield "duplicate", "", topology.name("payments"), headers, order
        delay = chance.randint(*topology.EMAIL_DELAY_MS)
        yield "email", topology.LATER, topology.name("emails"), {"x-delay": delay}, {"order": number, "delay": delay}
        if number % VIDEO_EVERY == 0:
            yield "video", topology.LATER, topology.name("video"), {}, {"job": number, "seconds": chance.choice([0.5, 2.0, 3.0])}


def main():
    host, port, orders, seed, path = sys.argv[1:]
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, int(port), heartbeat=30))
    channel = connection.channel()
    channel.confirm_delivery()
    with open(path, "w", encoding="ascii") as confirmed:
        for kind, exchange, key, headers, body in messages(int(orders), int(seed)):
            # Before the publish: no e-mail may come earlier than this and its delay.
            sent_at = time.time()
            text = json.dumps({**body, "sent_at": sent_at})
            properties = pika.BasicProperties(delivery_mode=2, content_type="application/json", headers=headers)
            channel.basic_publish(exchange, key, text, properties, mandatory=True)
            confirmed.write(json.dumps({"kind": kind, **body}) + "\n")
    connection.close()


main()
