"""Prints what a dead letter's headers look like on the wire, byte for byte, types and order
included, for every way to die. Times are masked. Compare two brokers:

    python dead_letter_headers.py amqp://guest:guest@127.0.0.1:5672 > ours
    python dead_letter_headers.py amqp://guest:guest@127.0.0.1:5673 > theirs
    diff ours theirs
"""

import struct
import sys
import time

import pika
import pika.data

PREFIX = "x-death-check-"
seen = []
decode_table = pika.data.decode_table


def record(encoded, offset):
    """Keeps the bytes of every table that arrives; the outermost ends last."""
    table, end = decode_table(encoded, offset)
    seen.append(encoded[offset:end])
    return table, end


pika.data.decode_table = record
pika.spec.data.decode_table = record


class Bytes:
    def __init__(self, bytes):
        self.bytes, self.at = bytes, 0

    def take(self, count):
        self.at += count
        return self.bytes[self.at - count:self.at]

    def number(self, shape):
        return struct.unpack(">" + shape, self.take(struct.calcsize(shape)))[0]


def value(bytes, indent):
    kind = bytes.take(1).decode()
    if kind == "S":
        return f"S {bytes.take(bytes.number('I'))!r}"
    if kind == "F":
        return "F\n" + table(bytes.take(bytes.number("I")), indent + 1)
    if kind == "A":
        inner = Bytes(bytes.take(bytes.number("I")))
        lines = []
        while inner.at < len(inner.bytes):
            lines.append("  " * (indent + 1) + value(inner, indent + 1))
        return "A\n" + "\n".join(lines)
    if kind == "T":
        bytes.take(8)
        return "T <time>"
    shapes = {"t": "B", "b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q"}
    return f"{kind} {bytes.number(shapes[kind])}"


def table(bytes, indent=0):
    bytes = Bytes(bytes)
    lines = []
    while bytes.at < len(bytes.bytes):
        name = bytes.take(bytes.number("B")).decode()
        lines.append("  " * indent + f"{name}: {value(bytes, indent)}")
    return "\n".join(lines)


class Scenario:
    """A channel, and queues that are gone afterwards."""

    def __init__(self, url):
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.queues = []

    def queue(self, name, **arguments):
        arguments = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
        self.channel.queue_declare(PREFIX + name, durable=True, arguments=arguments)
        self.queues.append(PREFIX + name)
        return PREFIX + name

    def publish(self, exchange, key, **properties):
        properties = pika.BasicProperties(delivery_mode=2, **properties)
        self.channel.basic_publish(exchange, key, b"body", properties)

    def get(self, queue):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            seen.clear()
            method, properties, body = self.channel.basic_get(queue)
            if method:
                return method, properties
            time.sleep(0.01)
        raise SystemExit(f"nothing comes to {queue}")

    def show(self, title, queue):
        method, properties = self.get(queue)
        headers = properties.headers
        properties.headers = None
        print(f"== {title}")
        print(f"exchange={method.exchange!r} routing_key={method.routing_key!r}")
        print(f"redelivered={method.redelivered} {properties}")
        print(table(seen[-1][4:]) if headers is not None else "no headers")
        self.channel.basic_ack(method.delivery_tag)

    def reject(self, queue, requeue=False):
        method, _ = self.get(queue)
        self.channel.basic_reject(method.delivery_tag, requeue=requeue)

    def end(self):
        for queue in self.queues:
            self.channel.queue_delete(queue)
        self.connection.close()


def to(queue):
    return {"dead_letter_exchange": "", "dead_letter_routing_key": queue}


def run(url):
    s = Scenario(url)
    dead = s.queue("dead")

    source = s.queue("rejected", **to(dead))
    s.publish("", source)
    s.reject(source)
    s.show("rejected, no headers", dead)

    s.publish("", source, headers={"b": 1, "a": "x"}, priority=3, content_type="t/p", message_id="m")
    s.reject(source)
    s.show("rejected, with headers and properties", dead)

    s.publish("", source, headers={"CC": ["other", PREFIX + "none"], "BCC": ["hidden"]})
    s.reject(source)
    s.show("rejected, with CC and BCC, a routing key of its own", dead)

    keeps = s.queue("keeps", dead_letter_exchange="amq.fanout")
    s.channel.queue_bind(dead, "amq.fanout")
    s.publish("", keeps, headers={"CC": ["other"]})
    s.reject(keeps)
    s.show("rejected, to an exchange with the keys it has", dead)
    s.channel.queue_unbind(dead, "amq.fanout")

    s.channel.queue_bind(source, "amq.topic", "#.x")
    s.publish("amq.topic", "a.b.x")
    s.reject(source)
    s.show("rejected, published to an exchange", dead)
    s.channel.queue_unbind(source, "amq.topic", "#.x")

    s.publish("", s.queue("own-ttl", **to(dead)), expiration="5")
    s.show("expired by its own time", dead)

    s.publish("", s.queue("ttl", message_ttl=5, **to(dead)), headers={"a": 1})
    s.show("expired by the queue's time", dead)

    s.publish("", s.queue("both-ttl", message_ttl=5, **to(dead)), expiration="60000")
    s.show("expired by the queue's time, with one of its own", dead)

    short = s.queue("short", max_length=1, **to(dead))
    s.publish("", short)
    s.publish("", short)
    s.show("dropped from the head", dead)

    dlx = s.queue("dlx", max_length=1, overflow="reject-publish-dlx", **to(dead))
    s.publish("", dlx)
    s.publish("", dlx)
    s.show("refused", dead)

    limit = s.queue("limit", queue_type="quorum", delivery_limit=1, **to(dead))
    s.publish("", limit)
    while s.channel.queue_declare(dead, passive=True).method.message_count == 0:
        method, _, _ = s.channel.basic_get(limit)
        if method:
            s.channel.basic_reject(method.delivery_tag, requeue=True)
    s.show("delivery limit", dead)

    retry = s.queue("retry", message_ttl=5, dead_letter_exchange="",
                    dead_letter_routing_key=PREFIX + "work")
    work = s.queue("work", **to(retry))
    s.publish("", work)
    s.reject(work)
    s.show("through a retry queue once", work)
    s.publish("", work)
    s.reject(work)
    s.reject(work)
    s.show("through a retry queue twice", work)
    s.publish("", work, headers={"x-death": "not a list"})
    s.reject(work)
    s.show("with an x-death that is none", work)

    # A round trip of expiries alone is dropped; the second message shows that the first is gone.
    circle = s.queue("circle", message_ttl=20, **to(PREFIX + "circle"))
    s.publish("", circle)
    time.sleep(0.5)
    left = s.channel.queue_declare(circle, passive=True).method.message_count
    print(f"== a circle of expiries: {left} left")
    s.end()


run(sys.argv[1])
