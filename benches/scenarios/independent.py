"""Rows whose load comes from clients that were written elsewhere and write each message by itself, as most
do: rabbitmq-c (`amqpload.c`), pika, amqplib and amqp091-go (`../clients/`), LavinMQ's own generator."""

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from cost import Cost

HERE = Path(__file__).resolve().parent
CLIENTS = HERE.parent / "clients"
SECONDS = 4


@functools.cache
def amqpload():
    """Compiled once a run; needs a C compiler and librabbitmq-dev."""
    program = Path(tempfile.mkdtemp(prefix="forebay-amqpload-")) / "amqpload"
    subprocess.run(["cc", "-O2", "-o", program, HERE / "amqpload.c", "-lrabbitmq", "-lpthread"], check=True)
    return program


@functools.cache
def amqp091_go():
    """Compiled once a run; needs Go and golang-github-rabbitmq-amqp091-go-dev."""
    program = Path(tempfile.mkdtemp(prefix="forebay-amqp091-")) / "load"
    paths = {"GO111MODULE": "off", "GOPATH": os.environ.get("GOPATH", "/usr/share/gocode")}
    subprocess.run(["go", "build", "-o", program, CLIENTS / "amqp091_go_load.go"], env={**os.environ, **paths}, check=True)
    return program


def answer(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def seconds_of(scale):
    return max(0.5, SECONDS * scale)


def rabbitmq_c(*options):
    """One run of `amqpload`, which tells what the broker's process has spent by itself."""

    def row(subject, _binary, scale):
        host, port = subject.address
        pid = ["-p", subject.pid] if subject.is_ours() else []
        told = json.loads(answer([amqpload(), host, port, *options, "-z", seconds_of(scale), *pid]))
        named = {
            "publish msgs/s": told["publish_rate"],
            "consume msgs/s": told["consume_rate"],
            "confirm p50 ms": told["confirm_p50_us"] / 1000,
            "confirm p99 ms": told["confirm_p99_us"] / 1000,
            "age p99 ms": told["age_p99_us"] / 1000,
            "broker CPU µs/msg": told["broker_cpu_us"],
            "longest pause ms": told["longest_pause_ms"],
        }
        # A row without consumers or confirms says nothing of them.
        return {figure: value for figure, value in named.items() if value > 0}

    return row


def script(*command, program=None):
    """One of `../clients/`, which prints the messages published and consumed, and the seconds; `program`
    compiles it."""

    def row(subject, _binary, scale):
        cost = Cost(subject)
        told = json.loads(answer([*([program()] if program else []), *command, subject.url(), seconds_of(scale)]))
        count = max(told["published"], told["consumed"])
        rates = {"publish msgs/s": told["published"], "consume msgs/s": told["consumed"]}
        return {name: value / told["seconds"] for name, value in rates.items() if value} | cost.figures(count)

    return row


def lavinmqperf(*options):
    """LavinMQ's generator, where `LAVINMQPERF` or the path names it."""

    def row(subject, _binary, scale):
        program = os.environ.get("LAVINMQPERF") or shutil.which("lavinmqperf")
        if not program:
            return {}
        uri = f"--uri={subject.url()}"
        told = answer([program, "throughput", uri, *options, "-z", max(1, round(seconds_of(scale)))])
        found = re.findall(r"Average (publish|consume) rate:\s*([\d,.]+)", told)
        return {f"{what} msgs/s": float(rate.replace(",", "")) for what, rate in found if float(rate.replace(",", ""))}

    return row
