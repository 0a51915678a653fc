"""Rows whose load is raw frames: what `forebay bench` does not do."""

import os
import statistics
import tempfile
import time
from multiprocessing import Process
from pathlib import Path

from amqp import Wire, message
from cost import Cost

CHUNK = 100


def raw_sync(subject, _, scale):
    """What the disk takes for itself: 4 KiB behind each other, each with a data sync."""
    directory = Path(subject.directory or tempfile.gettempdir())
    place, block, times = directory / "raw-sync", os.urandom(4096), []
    with place.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, 64 << 20)
        for _ in range(max(100, int(2000 * scale))):
            begin = time.perf_counter()
            file.write(block)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begin) * 1e3)
    place.unlink()
    return {"p50 ms": statistics.median(times), "p99 ms": statistics.quantiles(times, n=100)[98]}


def come_and_go(address, count):
    for _ in range(count):
        Wire(address).close()


def connections(subject, _, scale):
    """Handshake, a channel, close. Several clients: one alone would measure its own round trips."""
    clients, each = 4, max(1, int(1000 * scale))
    cost, begin = Cost(subject), time.monotonic()
    processes = [Process(target=come_and_go, args=(subject.address, each)) for _ in range(clients)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a client failed")
    figures = {"opened and closed /s": clients * each / (time.monotonic() - begin)}
    return figures | cost.figures(clients * each, "connection")


def idle_connections(subject, _, __):
    if not subject.is_ours():
        return {}
    figures = {}
    for name, channel in (("each KiB", False), ("each with a channel KiB", True)):
        # Memory that other rows left would hide what the connections take.
        subject.restart()
        # What the first ones make it grow by stays for the next ones.
        first = [Wire(subject.address, channel) for _ in range(100)]
        before = subject.memory_kib()
        wires = [Wire(subject.address, channel) for _ in range(1000)]
        time.sleep(1)
        figures[name] = (subject.memory_kib() - before) / 1000
        for wire in first + wires:
            wire.close()
    return figures


def declare(subject, _, scale):
    count, wire = int(10_000 * scale), Wire(subject.address)
    begin = time.monotonic()
    for number in range(count):
        wire.declare(f"bench.declare.{number}")
    seconds = time.monotonic() - begin
    for number in range(count):
        wire.delete(f"bench.declare.{number}")
    return {"10,000 s": seconds * 10_000 / count}


def spread(queue_count, fan_out, count, size=100):
    """Messages over many queues, or copied to several; each queue is consumed."""

    def row(subject, _, scale):
        queues = [f"bench.spread.{number}" for number in range(queue_count)]
        producer, consumer = Wire(subject.address), Wire(subject.address)
        for queue in queues:
            producer.declare(queue)
        if fan_out:
            producer.declare_fanout("bench.fanout", queues)
        sources = [("bench.fanout", "")] if fan_out else [("", queue) for queue in queues]
        contents = [message(exchange, key, size) for exchange, key in sources]
        messages = max(1, int(count * scale) // CHUNK) * CHUNK
        consumer.consume(queues, 1000)
        producer.confirm_select()
        cost, begin = Cost(subject), time.monotonic()
        for at in range(0, messages, CHUNK):
            producer.socket.sendall(b"".join(contents[(at + i) % len(contents)] for i in range(CHUNK)))
        producer.await_confirms(messages)
        deliveries = messages * (queue_count if fan_out else 1)
        consumer.take(deliveries)
        figures = {"deliveries/s": deliveries / (time.monotonic() - begin)}
        figures |= cost.figures(deliveries, "delivery")
        consumer.close()
        for queue in queues:
            producer.delete(queue)
        if fan_out:
            producer.delete_exchange("bench.fanout")
        producer.close()
        return figures

    return row


def drain(count):
    """A backlog of large files is drained: their space comes back meanwhile. Does that stall it?"""

    def row(subject, _, scale):
        messages, queue = max(CHUNK, int(count * scale) // CHUNK * CHUNK), "bench.drain"
        producer, consumer = Wire(subject.address), Wire(subject.address)
        producer.declare(queue)
        producer.confirm_select()
        chunk = message("", queue, 1024) * CHUNK
        for _ in range(0, messages, CHUNK):
            producer.socket.sendall(chunk)
        producer.await_confirms(messages)
        before = subject.disk_mib() if subject.is_ours() else 0
        begin = time.monotonic()
        consumer.consume([queue], 1000)
        consumer.take(messages)
        seconds = time.monotonic() - begin
        figures = {"drain msgs/s": messages / seconds, "longest pause ms": consumer.longest_pause * 1e3}
        if subject.is_ours():
            figures |= {"disk before MiB": before, "disk after MiB": subject.disk_mib()}
        consumer.close()
        producer.delete(queue)
        producer.close()
        return figures

    return row
