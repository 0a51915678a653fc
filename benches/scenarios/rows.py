"""The rows of the table: each measures one broker once and returns figures by name. A name ends in
its unit; `/s` is better when high, everything else when low."""

import json
import subprocess
import time

from amqp import Wire, message

CHUNK = 100


def load(subject, binary, *options):
    """One run of `forebay bench`, with what the broker's process spent on it."""
    before = subject.cpu_seconds() if subject.is_ours() else None
    command = [binary, "bench", "--json", "--url", subject.url(), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    report = json.loads(done.stdout)
    if before is not None:
        messages = max(report["sent"], report["received"])
        report["cpu"] = (subject.cpu_seconds() - before) * 1e6 / messages
    return report


def flow(*options, count):
    """A producer, a consumer and a durable queue between them."""

    def row(subject, binary, scale):
        report = load(subject, binary, *options, "--count", max(1000, int(count * scale)))
        figures = {"publish msgs/s": report["publish_rate"], "consume msgs/s": report["receive_rate"]}
        if report["confirm_latency_ms"]:
            figures["confirm p50 ms"] = report["confirm_latency_ms"]["p50"]
            figures["confirm p99 ms"] = report["confirm_latency_ms"]["p99"]
        if "cpu" in report:
            figures["broker CPU µs/msg"] = report["cpu"]
        return figures

    return row


def backlog(count):
    """Fill, look at memory and disk, start anew, drain."""

    def row(subject, binary, scale):
        messages, queue = int(count * scale), "bench.backlog"
        wire = Wire(subject.address)
        wire.declare(queue)
        common = ["--queue", queue, "--size", 100, "--count", messages]
        figures = {}
        idle = subject.memory_kib() if subject.is_ours() else 0
        filled = load(subject, binary, *common, "--consumers", 0)
        figures["fill msgs/s"] = filled["publish_rate"]
        if subject.is_ours():
            figures["memory above idle MiB"] = (subject.memory_kib("VmHWM") - idle) / 1024
            figures["disk MiB"] = subject.disk_mib()
            figures["restart s"] = subject.restart()
            wire = Wire(subject.address)
        drained = load(subject, binary, *common, "--producers", 0, "--prefetch", 1000, "--ack-batch", 50)
        figures["drain msgs/s"] = drained["receive_rate"]
        if "cpu" in filled:
            figures["fill CPU µs/msg"], figures["drain CPU µs/msg"] = filled["cpu"], drained["cpu"]
        wire.delete(queue)
        return figures

    return row


def connections(subject, _, scale):
    count = int(2000 * scale)
    begin = time.monotonic()
    for _ in range(count):
        Wire(subject.address).close()
    return {"opened and closed /s": count / (time.monotonic() - begin)}


def idle_connections(subject, _, __):
    if not subject.is_ours():
        return {}
    # Memory that other rows left would hide what the connections take.
    subject.restart()
    # What the first ones make it grow by stays for the next ones.
    first = [Wire(subject.address, channel=False) for _ in range(100)]
    before = subject.memory_kib()
    wires = [Wire(subject.address, channel=False) for _ in range(1000)]
    time.sleep(1)
    grown = subject.memory_kib() - before
    for wire in first + wires:
        wire.close()
    return {"each KiB": grown / 1000}


def declare(subject, _, scale):
    count, wire = int(10_000 * scale), Wire(subject.address)
    begin = time.monotonic()
    for number in range(count):
        wire.declare(f"bench.declare.{number}")
    seconds = time.monotonic() - begin
    for number in range(count):
        wire.delete(f"bench.declare.{number}")
    return {"declare s": seconds}


def spread(queue_count, fan_out, count):
    """Messages over many queues, or copied to several; each queue is consumed."""

    def row(subject, _, scale):
        queues = [f"bench.spread.{number}" for number in range(queue_count)]
        producer, consumer = Wire(subject.address), Wire(subject.address)
        for queue in queues:
            producer.declare(queue)
        if fan_out:
            producer.declare_fanout("bench.fanout", queues)
        sources = [("bench.fanout", "")] if fan_out else [("", queue) for queue in queues]
        octets = [message(exchange, key, 100) for exchange, key in sources]
        messages = max(1, int(count * scale) // CHUNK) * CHUNK
        consumer.consume(queues, 1000)
        producer.confirm_select()
        cpu = subject.cpu_seconds() if subject.is_ours() else 0
        begin = time.monotonic()
        for at in range(0, messages, CHUNK):
            producer.socket.sendall(b"".join(octets[(at + i) % len(octets)] for i in range(CHUNK)))
        producer.await_confirms(messages)
        deliveries = messages * (queue_count if fan_out else 1)
        consumer.take(deliveries)
        figures = {"deliveries/s": deliveries / (time.monotonic() - begin)}
        if subject.is_ours():
            figures["broker CPU µs/delivery"] = (subject.cpu_seconds() - cpu) * 1e6 / deliveries
        consumer.close()
        for queue in queues:
            producer.delete(queue)
        if fan_out:
            producer.delete_exchange("bench.fanout")
        producer.close()
        return figures

    return row


ROWS = {
    "24 B, no confirms, ack each": flow("--size", 24, "--no-confirms", "--prefetch", 500, count=1_000_000),
    "24 B, 200 unconfirmed, ack each": flow("--size", 24, "--window", 200, count=500_000),
    "1 KiB, no confirms, ack each": flow("--size", 1024, "--no-confirms", count=500_000),
    "1 KiB, 200 unconfirmed, ack each": flow("--size", 1024, "--window", 200, count=300_000),
    "1 KiB, 1,000 unconfirmed, ack every 50": flow(
        "--size", 1024, "--window", 1000, "--prefetch", 1000, "--ack-batch", 50, count=500_000),
    "1 KiB, no confirms, ack every 50": flow(
        "--size", 1024, "--no-confirms", "--prefetch", 1000, "--ack-batch", 50, count=500_000),
    "16 KiB, 200 unconfirmed": flow("--size", 16384, "--window", 200, count=50_000),
    "1 KiB, 1 in flight": flow("--size", 1024, "--window", 1, count=10_000),
    "1 KiB, 100 in flight": flow("--size", 1024, "--window", 100, count=200_000),
    "backlog of 1M × 100 B": backlog(1_000_000),
    "backlog of 5M × 100 B": backlog(5_000_000),
    "connections opened and closed": connections,
    "1,000 idle connections": idle_connections,
    "10,000 durable queues declared one by one": declare,
    "spike: 50 producers, 1 consumer, 1 KiB": flow(
        "--size", 1024, "--producers", 50, "--ack-batch", 50, "--window", 100, count=300_000),
    "hot queue: 1 producer, 50 consumers, 1 KiB": flow(
        "--size", 1024, "--consumers", 50, "--prefetch", 50, count=300_000),
    "200 connections: 100 producers, 100 consumers": flow(
        "--size", 1024, "--producers", 100, "--consumers", 100, "--window", 50, "--prefetch", 50, count=300_000),
    "1,000 queues, 100 B": spread(1000, False, 200_000),
    "fan-out 1 to 10, 100 B": spread(10, True, 30_000),
}
