"""Rows whose load comes from `forebay bench`: one run of it, or several beside each other."""

import json
import subprocess

from amqp import Wire
from cost import Cost


def start(subject, binary, *options):
    command = [binary, "bench", "--json", "--url", subject.url(), *subject.bench_options, *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    output, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(process.args)}: {output}{errors}")
    return json.loads(output)


def load(subject, binary, *options):
    """One run, with what the broker's process spent on it."""
    cost = Cost(subject)
    report = finish(start(subject, binary, *options))
    report["cost"] = cost.figures(max(report["sent"], report["received"]))
    return report


def flow(*options, count):
    """Producers, consumers and a durable queue between them."""

    def row(subject, binary, scale):
        report = load(subject, binary, *options, "--count", max(1000, int(count * scale)))
        figures = {"publish msgs/s": report["publish_rate"]}
        latency = report["confirm_latency_ms"]
        # With confirms nobody runs ahead: both rates are the same.
        figures |= (
            {"confirm p50 ms": latency["p50"], "confirm p99 ms": latency["p99"]}
            if latency else {"consume msgs/s": report["receive_rate"]}
        )
        return figures | report["cost"]

    return row


def backlog(count):
    """Fill, look at memory and disk, start anew, drain."""

    def row(subject, binary, scale):
        messages, queue = int(count * scale), "bench.backlog"
        if subject.is_ours():
            # Memory that other rows left would hide what this one takes.
            subject.restart()
        wire = Wire(subject.address)
        wire.declare(queue)
        common = ["--queue", queue, "--size", 100, "--count", messages]
        figures = {}
        idle = subject.memory_kib() if subject.is_ours() else 0
        filled = load(subject, binary, *common, "--consumers", 0)
        figures["fill msgs/s"] = filled["publish_rate"]
        if subject.is_ours():
            peak = subject.memory_kib("VmHWM")
            figures |= {"memory at the peak MiB": peak / 1024, "above idle MiB": (peak - idle) / 1024}
            figures["disk MiB"] = subject.disk_mib()
            figures["restart s"] = subject.restart()
            wire = Wire(subject.address)
        drained = load(subject, binary, *common, "--producers", 0, "--prefetch", 1000, "--ack-batch", 50)
        figures["drain msgs/s"] = drained["receive_rate"]
        for name, report in (("fill", filled), ("drain", drained)):
            figures |= {f"{name}: {figure}": value for figure, value in report["cost"].items()}
        wire.delete(queue)
        return figures

    return row


def neighbours(count, seconds):
    """Pairs of producer and consumer, each a process with a queue of its own: does any starve?"""

    def row(subject, binary, scale):
        options = ["--size", 1024, "--window", 100, "--duration", f"{max(1, seconds * scale):.0f}s"]
        processes = [start(subject, binary, *options) for _ in range(count)]
        reports = [finish(process) for process in processes]
        rates = [report["publish_rate"] for report in reports]
        latencies = [report["confirm_latency_ms"] for report in reports]
        return {
            "together msgs/s": sum(rates),
            "fastest / slowest": max(rates) / min(rates),
            "confirm p50 ms, the worst": max(latency["p50"] for latency in latencies),
            "confirm p99 ms, the worst": max(latency["p99"] for latency in latencies),
            "p99 / p50, the worst": max(latency["p99"] / latency["p50"] for latency in latencies),
        }

    return row


def beside_a_flood(seconds):
    """A publisher that waits for each confirm, while another one sends as fast as it can."""

    def row(subject, binary, scale):
        duration = max(1, seconds * scale)
        flood = start(subject, binary, "--size", 1024, "--no-confirms", "--ack-batch", 50,
                      "--duration", f"{duration + 1:.0f}s")
        gentle = start(subject, binary, "--size", 1024, "--window", 1, "--rate", 50,
                       "--duration", f"{duration:.0f}s")
        latency, flood = finish(gentle)["confirm_latency_ms"], finish(flood)
        return {
            "confirm p50 ms": latency["p50"],
            "confirm p99 ms": latency["p99"],
            "p99 / p50": latency["p99"] / latency["p50"],
            "flood msgs/s": flood["publish_rate"],
        }

    return row
