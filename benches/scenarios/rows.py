"""The rows of the table: each measures one broker once and returns figures by name. A name ends in
its unit; `/s` is better when high, everything else when low."""

from dataclasses import dataclass
from typing import Callable

from dead_letters import HOUR_MS, rejected, time_to_live
from delayed import pending
from features import DAY_MS, compared, parked
from flows import backlog, beside_a_flood, flow, neighbours
from independent import CLIENTS, amqp091_go, lavinmqperf, rabbitmq_c, script
from wires import connections, declare, drain, idle_connections, raw_sync, spread


@dataclass
class Row:
    name: str
    # (subject, binary of `forebay bench`, scale) → figures
    measure: Callable
    # Rounds of the peer at most: it takes minutes for what it has to do in full, or has no part in it.
    peer_rounds: int | None = None
    peer_in_full: bool = False
    # `forebay bench` makes the queues, of whatever kind.
    has_bench_queues: bool = False




def bench_row(name, *options, count):
    return Row(name, flow(*options, count=count), has_bench_queues=True)


def client_row(name, measure):
    """In full for every broker: it lasts as long for a slow one."""
    return Row(name, measure, peer_in_full=True)


def c_row(name, options):
    return client_row(f"rabbitmq-c: {name}", rabbitmq_c(*options.split()))


def feature_row(name, measure):
    """Nobody else has it."""
    return Row(f"feature: {name}", measure, peer_rounds=0)


def perf_row(options):
    return client_row(f"lavinmqperf: {options}", lavinmqperf(*options.split()))


def script_rows(name, *command, program=None):
    return [client_row(f"{name}: {what}", script(*command, mode, program=program))
            for mode, what in (("plain", "1 KiB, no confirms, ack each"), ("confirms", "1 KiB, confirms, ack each"))]


KIB = ("--size", 1024)
BATCHED = ("--prefetch", 1000, "--ack-batch", 50)

ROWS = [
    Row("raw: 4 KiB appended and synced", raw_sync, peer_rounds=0),
    bench_row("24 B, no confirms, ack each, prefetch 500",
              "--size", 24, "--no-confirms", "--prefetch", 500, count=1_000_000),
    bench_row("24 B, 200 unconfirmed, ack each", "--size", 24, "--window", 200, count=500_000),
    bench_row("1 KiB, no confirms, ack each", *KIB, "--no-confirms", count=500_000),
    bench_row("1 KiB, 200 unconfirmed, ack each", *KIB, "--window", 200, count=300_000),
    bench_row("1 KiB, 1,000 unconfirmed, ack every 50", *KIB, "--window", 1000, *BATCHED, count=500_000),
    bench_row("1 KiB, no confirms, ack every 50", *KIB, "--no-confirms", *BATCHED, count=500_000),
    bench_row("16 KiB, 200 unconfirmed", "--size", 16384, "--window", 200, count=50_000),
    bench_row("1 KiB, 1 in flight", *KIB, "--window", 1, count=10_000),
    bench_row("1 KiB, 100 in flight", *KIB, "--window", 100, count=200_000),
    Row("backlog of 1M × 100 B", backlog(1_000_000), peer_rounds=1, peer_in_full=True),
    Row("backlog of 5M × 100 B", backlog(5_000_000), peer_rounds=0),
    Row("connections opened and closed", connections),
    Row("1,000 idle connections", idle_connections, peer_rounds=1),
    Row("durable queues declared one by one", declare),
    bench_row("spike: 50 producers, 1 consumer, 1 KiB",
              *KIB, "--producers", 50, "--ack-batch", 50, "--window", 100, count=300_000),
    bench_row("hot queue: 1 producer, 50 consumers, 1 KiB",
              *KIB, "--consumers", 50, "--prefetch", 50, count=300_000),
    bench_row("200 connections: 100 producers, 100 consumers, 1 KiB",
              *KIB, "--producers", 100, "--consumers", 100, "--window", 50, "--prefetch", 50, count=300_000),
    Row("1,000 queues, 100 B", spread(1000, False, 200_000)),
    *(Row(f"fan-out 1 to {queues}, 100 B", spread(queues, True, 300_000 // queues))
      for queues in (1, 2, 5, 10)),
    Row("fan-out 1 to 4, 16 KiB", spread(4, True, 30_000, 16_384)),
    Row("fair: 20 pairs with a queue each, 1 KiB, 100 in flight", neighbours(20, 5), has_bench_queues=True),
    Row("fair: 1 in flight beside a flood without confirms, 1 KiB", beside_a_flood(5),
        has_bench_queues=True),
    Row("drain of 1M × 1 KiB while its space comes back", drain(1_000_000), peer_rounds=1),
    Row("delayed: 1M × 100 B pending", pending(1_000_000), peer_rounds=0),
    *(feature_row(name, measure) for name, measure in (
        ("groups, 1M of one message", compared(1_000_000, {"x-message-group": "group"})),
        ("groups, 1M at once in flight", compared(1_000_000, {"x-message-group": "group"}, prefetch=0)),
        ("groups, 1,000 of 1,000 messages", compared(1_000_000, {"x-message-group": "group"}, groups=1_000)),
        ("1M keys in a window", compared(1_000_000, {"x-dedup-window": DAY_MS, "x-dedup-size": 2_000_000})),
        ("1M parked for a retry", parked(1_000_000)),
        ("leases of a minute", compared(300_000, {}, lease_ms=60_000)),
        ("max-in-flight, not reached", compared(300_000, {"x-max-in-flight": 1_000_000})),
        ("rate-limit, not reached",
         compared(300_000, {"x-rate-limit": 1_000_000, "x-rate-burst": 1_000_000})),
    )),
    Row("dead letters: 100k × 100 B rejected, redriven", rejected(100_000), peer_rounds=1),
    Row("no time to live: 1M × 100 B", time_to_live(1_000_000, None), peer_rounds=1),
    Row("time to live of an hour: 1M × 100 B", time_to_live(1_000_000, HOUR_MS), peer_rounds=1),
]

# By clients that were written elsewhere: `--clients`.
CLIENT_ROWS = [
    c_row("1 KiB, no confirms, ack each, prefetch 500", "-c 0 -a 1 -P 500"),
    c_row("1 KiB, no confirms, ack every 50, prefetch 1,000", "-c 0 -a 50 -P 1000"),
    c_row("1 KiB, 1,000 unconfirmed, ack every 50", "-c 1000 -a 50 -P 1000"),
    c_row("1 KiB, 200 unconfirmed, ack each", "-c 200 -a 1 -P 500"),
    c_row("1 KiB, 1 unconfirmed, no consumer", "-c 1 -y 0"),
    c_row("1 KiB, 100 unconfirmed, no consumer", "-c 100 -y 0"),
    c_row("1 KiB, no confirms, no consumer", "-c 0 -y 0"),
    c_row("16 B, no confirms, ack each, prefetch 500", "-c 0 -s 16 -a 1 -P 500"),
    c_row("16 KiB, no confirms, ack each", "-c 0 -s 16384 -a 1 -P 500"),
    c_row("16 KiB, 200 unconfirmed, ack each", "-c 200 -s 16384 -a 1 -P 500"),
    c_row("10 producers, 10 consumers, 1 KiB, 100 unconfirmed, ack 10", "-x 10 -y 10 -c 100 -a 10 -P 100"),
    c_row("50 producers with 1 unconfirmed each, 5 consumers", "-x 50 -y 5 -c 1 -a 1 -P 100"),
    *(perf_row(options) for options in (
        "-x1 -y0 -s 1024 -c 100",
        "-x1 -y0 -s 1024 -c 1",
        "-x1 -y1 -s 1024 -a 1 -P 500",
        "-x1 -y1 -s 1024 -a 50 -P 1000",
        "-x1 -y1 -s 16384 -a 1 -P 500",
        "-x1 -y0 -s 1024",
        "-x10 -y10 -s 1024 -c 100 -a 10 -P 100",
        "-x1 -y1 -s 100 -c 1000 -a 50 -P 1000",
    )),
    *script_rows("pika", "python3", CLIENTS / "pika_load.py"),
    *script_rows("amqplib", "node", CLIENTS / "amqplib_load.js"),
    *script_rows("amqp091-go", program=amqp091_go),
]
