"""The brokers that are measured: one that runs already, or a process of ours on free ports, with
its data in a directory that goes with it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from amqp import Wire

PATIENCE_SECONDS = 180
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Subject:
    """A broker at an address; without a process of ours, what it costs can't be told."""

    # Of `forebay bench`, for all its runs against this broker.
    bench_options = ()

    def __init__(self, name, address):
        self.name, self.address = name, address
        self.process = self.directory = self.pid = None

    def url(self):
        return f"amqp://guest:guest@{self.address[0]}:{self.address[1]}"

    def is_ours(self):
        return self.pid is not None

    def memory_kib(self, field="VmRSS"):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status).group(1))

    def disk_mib(self):
        files = (path for path in Path(self.directory).rglob("*") if path.is_file())
        return sum(path.stat().st_blocks * 512 for path in files) / 2**20

    def start(self):
        """Starts the process and returns the seconds until a client has a channel."""
        begin = time.monotonic()
        self.launch()
        while time.monotonic() - begin < PATIENCE_SECONDS:
            try:
                Wire(self.address).close()
                break
            except (OSError, EOFError, RuntimeError):
                time.sleep(0.005)
        else:
            raise RuntimeError(f"{self.name} did not start within {PATIENCE_SECONDS} s")
        seconds = time.monotonic() - begin
        self.pid = self.find_pid()
        return seconds

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)

    def restart(self):
        self.stop()
        return self.start()

    def end(self):
        if self.is_ours():
            self.stop()
            shutil.rmtree(self.directory, ignore_errors=True)


class Forebay(Subject):
    def __init__(self, binary):
        super().__init__("forebay", ("127.0.0.1", free_port()))
        self.binary, self.directory = binary, tempfile.mkdtemp(prefix="forebay-bench-")
        self.admin = f"127.0.0.1:{free_port()}"
        self.start()

    def launch(self):
        other = ["--metrics-listen", "127.0.0.1:0", "--admin-listen", self.admin]
        self.process = subprocess.Popen(
            [self.binary, "serve", "--listen", f"127.0.0.1:{self.address[1]}",
             "--data-dir", f"{self.directory}/data", *other],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def find_pid(self):
        return self.process.pid


class RabbitMq(Subject):
    """From Debian, with its defaults."""

    def __init__(self):
        super().__init__("rabbitmq", ("127.0.0.1", free_port()))
        self.directory = tempfile.mkdtemp(prefix="rabbitmq-bench-")
        self.ports = free_port(), free_port()
        self.start()

    def launch(self):
        distribution, names = self.ports
        place = f"{self.directory}/".__add__
        settings = {
            "HOME": self.directory,
            "RABBITMQ_NODENAME": f"bench{names}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.address[1]),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": place("mnesia"),
            "RABBITMQ_LOG_BASE": place("log"),
            "RABBITMQ_PID_FILE": place("pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": place("plugins"),
            "RABBITMQ_CONFIG_FILE": place("none"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.process = subprocess.Popen([RABBITMQ], env={**os.environ, **settings},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def find_pid(self):
        return int(Path(f"{self.directory}/pid").read_text())

    def end(self):
        super().end()
        # The name server stays behind by itself.
        subprocess.run(["epmd", "-kill"], env={**os.environ, "ERL_EPMD_PORT": str(self.ports[1])},
                       stdout=subprocess.DEVNULL, check=False)


class LavinMq(Subject):
    """From the program `lavinmq`, with its defaults."""

    def __init__(self, program):
        super().__init__("lavinmq", ("127.0.0.1", free_port()))
        self.program, self.directory = program, tempfile.mkdtemp(prefix="lavinmq-bench-")
        self.start()

    def launch(self):
        ports = {"amqp-port": self.address[1], "http-port": free_port(), "mqtt-port": free_port(),
                 "metrics-http-port": free_port(), "clustering-port": free_port()}
        self.process = subprocess.Popen(
            [self.program, f"--data-dir={self.directory}/data", "--bind=127.0.0.1",
             f"--control-unix-path={self.directory}/control",
             *(f"--{name}={port}" for name, port in ports.items())],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def find_pid(self):
        return self.process.pid


class QuorumQueues(Subject):
    """The same RabbitMQ with quorum queues, for rows whose queues `forebay bench` makes."""

    bench_options = ("--queue-argument", "x-queue-type=quorum")

    def __init__(self, rabbitmq):
        self.rabbitmq = rabbitmq
        self.name, self.address, self.directory = "rabbitmq quorum", rabbitmq.address, rabbitmq.directory

    @property
    def pid(self):
        return self.rabbitmq.pid

    def end(self):
        """Its process is another's."""
