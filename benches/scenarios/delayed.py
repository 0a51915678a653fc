"""What delayed messages cost, and how late they are: rows of the table, see `rows.py`.

    python3 benches/scenarios/delayed.py target/release/forebay 1000000
"""

import json
import os
import struct
import sys
import threading
import time

from amqp import BASIC, BODY, HEADER, METHOD, MULTIPLE, Wire, frame, message, method, short, table
from cost import cpu_seconds
from subject import Forebay

CHUNK = 1000
HOUR_MS = 3_600_000
#: Messages of which is measured how late they come.
TIMED = 20_000


def delayed(queue, body, milliseconds):
    """A persistent message with the header x-delay as bytes."""
    publish = method(1, BASIC, 40, b"\0\0" + short("") + short(queue) + b"\0")
    headers = table({"x-delay": milliseconds})
    header = frame(HEADER, 1, struct.pack(">HHQH", BASIC, 0, len(body), 0x3000) + headers + b"\x02")
    return publish + header + frame(BODY, 1, body)


def fill(subject, queue, count):
    """Messages that are due in one to two days, all over; messages a second."""
    wire, begin = Wire(subject.address), time.monotonic()
    wire.confirm_select()
    for at in range(0, count, CHUNK):
        spread = ((at + nth) * 7_919 % 86_400_000 for nth in range(CHUNK))
        wire.socket.sendall(b"".join(delayed(queue, b"x" * 100, 24 * HOUR_MS + ms) for ms in spread))
        wire.await_confirms(at + CHUNK)
    wire.close()
    return count / (time.monotonic() - begin)


def publish_timed(subject, queue, lead_ms):
    """Messages whose body is when they are due, some of them each millisecond of ten seconds."""
    wire = Wire(subject.address)
    wire.confirm_select()
    for at in range(0, TIMED, CHUNK):
        content = []
        for nth in range(at, at + CHUNK):
            delay = lead_ms + nth * 7_919 % 10_000
            due = time.time() + delay / 1000
            content.append(delayed(queue, struct.pack(">d", due), delay))
        wire.socket.sendall(b"".join(content))
        wire.await_confirms(at + CHUNK)
    wire.close()


def lateness(subject, queue):
    """How late the timed messages come, in ms, ascending."""
    wire, late = Wire(subject.address), []
    wire.consume([queue], 1000)
    tag = None
    for kind, payload in wire.frames():
        if kind == METHOD and struct.unpack_from(">HH", payload) == (BASIC, 60):
            tag_at = 4 + 1 + payload[4]
            tag = bytes(payload[tag_at:tag_at + 8])
        elif kind == BODY:
            late.append((time.time() - struct.unpack(">d", payload)[0]) * 1000)
            if len(late) % 50 == 0 or len(late) == TIMED:
                wire.socket.sendall(method(1, BASIC, 80, tag + MULTIPLE))
            if len(late) == TIMED:
                break
    wire.close()
    return sorted(late)


def load(subject, queue, stop):
    """Ordinary messages beside them, as fast as they are confirmed."""
    wire, count = Wire(subject.address), 0
    consumer = Wire(subject.address)
    consumer.consume([queue], 1000)
    taker = threading.Thread(target=lambda: consumer.take(1 << 40), daemon=True)
    taker.start()
    wire.confirm_select()
    content = message("", queue, 1024) * 100
    while not stop.is_set():
        wire.socket.sendall(content)
        count += 100
        wire.await_confirms(count)


def shown(name, late):
    at = lambda share: late[min(len(late) - 1, int(len(late) * share))]
    return {f"{name} earliest ms": late[0], f"{name} p50 ms": at(0.5), f"{name} p99 ms": at(0.99),
            f"{name} latest ms": late[-1]}


def pending(count):
    """So many wait; how late others come with and without a load beside them, and after a restart."""

    def row(subject, _, scale):
        messages = max(1, int(count * scale) // CHUNK) * CHUNK
        if not subject.is_ours():
            return {}
        subject.restart()
        wire = Wire(subject.address)
        for queue in ("bench.delayed", "bench.timed", "bench.beside"):
            wire.declare(queue)
        idle, cpu = subject.memory_kib(), cpu_seconds(subject.pid)
        figures = {"delayed msgs/s": fill(subject, "bench.delayed", messages)}
        figures["publish CPU µs/msg"] = (cpu_seconds(subject.pid) - cpu) * 1e6 / messages
        figures["memory above idle MiB"] = (subject.memory_kib() - idle) / 1024
        figures["peak above idle MiB"] = (subject.memory_kib("VmHWM") - idle) / 1024
        publish_timed(subject, "bench.timed", 3_000)
        figures |= shown("late", lateness(subject, "bench.timed"))
        stop = threading.Event()
        beside = threading.Thread(target=load, args=(subject, "bench.beside", stop), daemon=True)
        publish_timed(subject, "bench.timed", 5_000)
        beside.start()
        figures |= shown("late under load", lateness(subject, "bench.timed"))
        stop.set()
        beside.join()
        publish_timed(subject, "bench.timed", 5_000)
        wire.close()
        figures["restart s"] = subject.restart()
        figures["memory after a restart MiB"] = subject.memory_kib() / 1024
        figures |= shown("late after a restart", lateness(subject, "bench.timed"))
        wire = Wire(subject.address)
        for queue in ("bench.delayed", "bench.timed", "bench.beside"):
            wire.delete(queue)
        wire.close()
        return figures

    return row


if __name__ == "__main__":
    broker = Forebay(sys.argv[1])
    try:
        found = pending(int(sys.argv[2]))(broker, None, 1)
        print(json.dumps({"load average": os.getloadavg()[0]} | found, indent=1, ensure_ascii=False))
    finally:
        broker.end()
