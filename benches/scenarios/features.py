"""What groups, deduplication, retries, leases and limits cost: the same messages through the same queue without
and with the feature, and what a million groups, keys and parked messages take of memory. Rows of the table, see
`rows.py`.

    benches/scenarios/run --only '^feature' --no-peer --binary target/release/forebay
"""

import struct
import time

from amqp import ACK, BASIC, BODY, HEADER, METHOD, MULTIPLE, Wire, frame, method, short, table
from cost import cpu_seconds

CHUNK = 1000
DAY_MS = 86_400_000
#: `basic.nack`, of all up to a tag, back into the queue.
NACK, MULTIPLE_AND_REQUEUE = 120, b"\x03"
HEADERS_MODE_AND_ID = 0x3080
SIZE = 100


def numbered(queue, nth, groups):
    """A persistent message as bytes, with a group of its own, or one of so many, and an id of its own."""
    publish = method(1, BASIC, 40, b"\0\0" + short("") + short(queue) + b"\0")
    properties = table({"group": f"customer-{nth % groups}"}) + b"\x02" + short(f"order-{nth}")
    header = frame(HEADER, 1, struct.pack(">HHQH", BASIC, 0, SIZE, HEADERS_MODE_AND_ID) + properties)
    return publish + header + frame(BODY, 1, b"x" * SIZE)


class Spent:
    """The processor time of a broker since this was made or asked last, by message, in µs."""

    def __init__(self, subject, count):
        self.subject, self.count, self.before = subject, count, cpu_seconds(subject.pid)

    def since(self):
        before, self.before = self.before, cpu_seconds(self.subject.pid)
        return (self.before - before) * 1e6 / self.count


def publish_all(subject, queue, count, groups):
    """Confirmed, a thousand at a time."""
    wire = Wire(subject.address)
    wire.confirm_select()
    for at in range(0, count, CHUNK):
        wire.socket.sendall(b"".join(numbered(queue, nth, groups) for nth in range(at, at + CHUNK)))
        wire.await_confirms(at + CHUNK)
    wire.close()


def subscribe(subject, queue, prefetch, lease_ms):
    wire = Wire(subject.address)
    wire.call(BASIC, 10, struct.pack(">IHB", 0, prefetch, 0), 11)
    arguments = table({"x-lease": lease_ms} if lease_ms else {})
    wire.socket.sendall(method(1, BASIC, 20, b"\0\0" + short(queue) + short(queue) + b"\x08" + arguments))
    return wire


def tags(wire, count):
    """The delivery tags of so many messages, each when all of the message is there."""
    taken, tag = 0, None
    for kind, payload in wire.frames():
        if kind == METHOD and struct.unpack_from(">HH", payload) == (BASIC, 60):
            tag_at = 4 + 1 + payload[4]
            tag = bytes(payload[tag_at:tag_at + 8])
        elif kind == BODY:
            taken += 1
            yield taken, tag
            if taken == count:
                return


def settle(wire, tag, how=ACK, bits=MULTIPLE):
    wire.socket.sendall(method(1, BASIC, how, tag + bits))


def await_cpu_rest(subject):
    """Until the broker has done what it puts off: commits of acknowledgements, for example."""
    before = None
    while before != (before := cpu_seconds(subject.pid)):
        time.sleep(0.5)


def run(subject, count, groups, arguments, lease_ms, prefetch):
    """Fills a queue and drains it. With a prefetch of 0 all of it is delivered before anything is settled."""
    queue = "bench.feature"
    subject.restart()
    wire = Wire(subject.address)
    wire.declare(queue, arguments)
    idle = subject.memory_kib()
    above_idle = lambda: (subject.memory_kib() - idle) / 1024
    spent = Spent(subject, count)
    publish_all(subject, queue, count, groups)
    figures = {"publish CPU µs/msg": spent.since(), "memory filled MiB": above_idle()}
    consumer = subscribe(subject, queue, prefetch, lease_ms)
    begin = time.monotonic()
    for taken, tag in tags(consumer, count):
        if taken == count and prefetch == 0:
            figures["memory all unacked MiB"] = above_idle()
        if taken == count or (prefetch > 0 and taken % 50 == 0):
            settle(consumer, tag)
    figures["drain msgs/s"] = count / (time.monotonic() - begin)
    consumer.close()
    await_cpu_rest(subject)
    figures["drain CPU µs/msg"] = spent.since()
    figures["memory drained MiB"] = above_idle()
    if "x-dedup-window" in arguments:
        # Everything comes again, and nothing of it is new.
        publish_all(subject, queue, count, groups)
        figures["duplicate CPU µs/msg"] = spent.since()
        if wire.ready(queue) != 0:
            raise RuntimeError("a duplicate came through")
    wire.delete(queue)
    wire.close()
    return figures


def compared(count, arguments, groups=None, lease_ms=None, prefetch=1000):
    """Without the feature and with it. `groups`: as many as there are messages when it is not given."""

    def row(subject, _, scale):
        if not subject.is_ours():
            return {}
        messages = max(1, int(count * scale) // CHUNK) * CHUNK
        of = min(groups or messages, messages)
        figures = {}
        for name, queue_s, lease in (("off", {}, None), ("on", arguments, lease_ms)):
            found = run(subject, messages, of, queue_s, lease, prefetch)
            figures |= {f"{name}: {figure}": value for figure, value in found.items()}
        return figures

    return row


def parked(count):
    """Every message fails once and waits for a day."""

    def row(subject, _, scale):
        if not subject.is_ours():
            return {}
        messages, queue = max(1, int(count * scale) // CHUNK) * CHUNK, "bench.parked"
        subject.restart()
        wire = Wire(subject.address)
        arguments = {"x-delayed-retry-type": "failed", "x-delayed-retry-min": DAY_MS, "x-delivery-limit": -1}
        wire.declare(queue, arguments)
        publish_all(subject, queue, messages, messages)
        filled, spent = subject.memory_kib(), Spent(subject, messages)
        consumer = subscribe(subject, queue, 1000, None)
        for taken, tag in tags(consumer, messages):
            if taken % 50 == 0 or taken == messages:
                settle(consumer, tag, NACK, MULTIPLE_AND_REQUEUE)
        consumer.close()
        await_cpu_rest(subject)
        figures = {"delivered and parked CPU µs/msg": spent.since()}
        figures["memory above filled MiB"] = (subject.memory_kib() - filled) / 1024
        wire.close()
        figures["restart s"] = subject.restart()
        figures["memory after a restart MiB"] = subject.memory_kib() / 1024
        wire = Wire(subject.address)
        if wire.ready(queue) != 0:
            raise RuntimeError("a message came before its time")
        wire.delete(queue)
        wire.close()
        return figures

    return row
