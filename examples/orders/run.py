"""100,000 orders through a broker that is killed half-way.

A producer publishes persistent JSON orders with confirms, two workers process them. When half of
the orders are confirmed, the broker is killed with -9 and started again on the same data. At the
end every confirmed order must have been processed, and the broker must have stayed small.

    examples/orders/run [--orders N]        from anywhere; builds the broker, needs Python 3

Exit code 0 when all of it holds.
"""

import argparse
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pika

HERE = pathlib.Path(__file__).resolve().parent
BROKER = HERE.parent.parent / "target" / "release" / "forebay"
MEMORY_MAX_MIB = 100
PATIENCE_SECONDS = 600
WORKERS = 2


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, data, port):
        self.command = [BROKER, "serve", "--data-dir", data]
        self.command += ["--listen", f"127.0.0.1:{port}", "--metrics-listen", "127.0.0.1:0"]
        self.command += ["--admin-listen", "127.0.0.1:0"]
        self.port = port
        self.memory_peak_mib = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=sys.stderr)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit("the broker did not start")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        sys.exit("the broker did not listen in time")

    def measure(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        self.memory_peak_mib = max(self.memory_peak_mib, int(line.split()[1]) / 1024)

    def kill(self):
        self.measure()
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.measure()
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


def records(path):
    """`number -> amount` of a file, and how many lines it had."""
    lines = path.read_text(encoding="ascii").splitlines()
    return dict(map(int, line.split()) for line in lines), len(lines)


def wait_until_processed(port, workers):
    """Until no order is ready and, the workers stopped, none has come back."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
    channel = connection.channel()

    def ready():
        return channel.queue_declare("orders", passive=True).method.message_count

    deadline = time.monotonic() + PATIENCE_SECONDS
    while ready() and time.monotonic() < deadline:
        time.sleep(0.2)
    # Give the workers time for what they hold, so that the last acknowledgements are theirs.
    time.sleep(1)
    for worker in workers:
        worker.terminate()
        worker.wait()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while channel.queue_declare("orders", passive=True).method.consumer_count:
        if time.monotonic() > deadline:
            sys.exit("the workers' consumers did not go")
        time.sleep(0.05)
    left = ready()
    connection.close()
    return left


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=100_000)
    orders = parser.parse_args().orders
    place = pathlib.Path(tempfile.mkdtemp(prefix="forebay-orders-"))
    port = free_port()
    broker = Broker(place / "data", port)
    start = time.monotonic()

    def run(script, *arguments, **options):
        command = [sys.executable, HERE / script, "127.0.0.1", str(port), *map(str, arguments)]
        return subprocess.Popen(command, **options)

    seen_files = [place / f"seen-{number}" for number in range(WORKERS)]
    workers = [run("worker.py", path) for path in seen_files]
    confirmed_file = place / "confirmed"
    producer = run("producer.py", orders, confirmed_file, stdout=subprocess.PIPE, text=True)
    try:
        killed = False
        for line in producer.stdout:
            if not killed and int(line) >= orders // 2:
                print(f"{line.strip()} orders confirmed: kill -9", flush=True)
                broker.kill()
                broker.start()
                killed = True
        if producer.wait() != 0:
            sys.exit("the producer failed")
        left = wait_until_processed(port, workers)
        seconds = time.monotonic() - start
        stopped = broker.stop()
    finally:
        for process in [producer, broker.process, *workers]:
            process.kill()

    confirmed, _ = records(confirmed_file)
    seen, seen_lines = {}, 0
    for path in seen_files:
        part, lines = records(path)
        seen.update(part)
        seen_lines += lines
    missing = confirmed.keys() - seen.keys()
    print(f"orders confirmed         {len(confirmed):>10}   sum {sum(confirmed.values()) / 100:.2f} EUR")
    print(f"orders processed         {len(seen):>10}   sum {sum(seen.values()) / 100:.2f} EUR")
    print(f"processed more than once {seen_lines - len(seen):>10}")
    print(f"left in the queue        {left:>10}")
    print(f"broker's memory at most  {broker.memory_peak_mib:>10.1f} MiB")
    print(f"time                     {seconds:>10.1f} s")
    faults = []
    if len(confirmed) != orders:
        faults.append(f"{orders - len(confirmed)} orders were never confirmed")
    if missing:
        faults.append(f"{len(missing)} confirmed orders were lost, {min(missing)} the first")
    if any(seen[number] != amount for number, amount in confirmed.items() if number in seen):
        faults.append("an order changed its amount")
    if left:
        faults.append(f"{left} messages were left over")
    if broker.memory_peak_mib >= MEMORY_MAX_MIB:
        faults.append(f"the broker took {MEMORY_MAX_MIB} MiB or more")
    if stopped != 0:
        faults.append(f"the broker ended with code {stopped}")
    if not killed:
        faults.append("the broker was never killed")
    print("FAILED: " + "; ".join(faults) if faults else "OK: every confirmed order was processed")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
