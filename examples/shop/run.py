"""A shop on five queues, with workers that die at random; at the end its books must balance.

    examples/shop/run [--debug] [--orders N] [--seed S]       builds the broker; needs Python 3 and Rust

Each order goes by one exchange to the inventory (in order for each product), to the customer's webhook (a receiver that
fails three calls in ten), and to the payments (where some orders are sent twice); an e-mail follows some seconds
later, and some orders have a video made, which takes longer than its worker's lease unless the worker extends it. The broker is
killed once with -9. Exit code 0 when every row of the table holds."""

import argparse
import collections
import json
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pika
import receiver
import topology

HERE = pathlib.Path(__file__).resolve().parent
WORKERS = {"inventory": 3, "webhooks": 2, "payments": 2, "emails": 1}
VIDEO_WORKERS = 2
PATIENCE_SECONDS = 600
BACKOFF_SLACK = 0.85


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, program, data, port):
        self.command = [program, "serve", "--data-dir", data, "--listen", f"127.0.0.1:{port}"]
        self.command += ["--metrics-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        self.port, self.log = port, (data.parent / "broker.log").open("ab")
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        sys.exit(f"the broker did not start; see {self.log.name}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def connection(self):
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port))


class Crew:
    """Processes that are started again whenever they end, until they are told to stop."""

    def __init__(self, log):
        self.log, self.is_open, self.threads, self.processes = log, True, [], {}
        self.deaths, self.ends = collections.Counter(), {}

    def keep(self, of, command):
        thread = threading.Thread(target=self._run, args=(of, len(self.threads), command), daemon=True)
        self.threads.append(thread)
        thread.start()

    def _run(self, of, place, command):
        life = 0
        while self.is_open:
            process = subprocess.Popen([*command, str(1_000 * place + life)], stdout=self.log, stderr=self.log)
            self.processes[place] = process
            process.wait()
            self.ends[process.pid] = time.time()
            self.deaths[of] += self.is_open
            life += 1
            time.sleep(0.1)

    def stop(self):
        self.is_open = False
        for process in self.processes.values():
            process.terminate()
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS)


def lines(*paths):
    """What workers have written, in the order of their clocks; a line that a death has cut off is left out."""
    found = []
    for path in paths:
        for line in path.read_text(encoding="ascii").splitlines() if path.exists() else []:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                pass
    return sorted(found, key=lambda line: line.get("at", 0))


def wait_until_empty(broker):
    """Until nothing waits and nothing is held, delayed or parked any more: consumers get all there is."""
    channel = broker.connection().channel()
    deadline, quiet = time.monotonic() + PATIENCE_SECONDS, 0
    while quiet < 5 and time.monotonic() < deadline:
        counts = [channel.queue_declare(topology.name(queue), passive=True).method.message_count for queue in topology.QUEUES]
        quiet = 0 if any(counts) else quiet + 1
        # Longer than the longest delay that is left, five times over.
        time.sleep(topology.EMAIL_DELAY_MS[1] / 1_000 / 4)
    channel.connection.close()


def dead_letters(broker, queue):
    connection = broker.connection()
    channel, found = connection.channel(), []
    try:
        while (letter := channel.basic_get(f"{topology.name(queue)}.dlq", auto_ack=True))[0]:
            found.append(json.loads(letter[2]))
    except pika.exceptions.ChannelClosedByBroker:
        pass  # The queue is made with its first dead letter.
    if connection.is_open:
        connection.close()
    return found


def check_inventory(orders, handled, dead):
    last, wrong = {}, 0
    for line in handled:
        wrong += line["order"] < last.get(line["product"], -1)
        last[line["product"]] = line["order"]
    seen = {line["order"] for line in handled} | {line["order"] for line in dead}
    return [("products out of order", wrong, 0), ("orders not counted", len(orders - seen), 0)]


def check_payments(orders, handled, dead, duplicates):
    first = collections.Counter(line["order"] for line in handled if not line["redelivered"])
    twice = sum(count > 1 for count in first.values())
    seen = {line["order"] for line in handled} | {line["order"] for line in dead}
    return [(f"charged twice ({duplicates} sent twice)", twice, 0), ("orders not charged", len(orders - seen), 0)]


def check_webhooks(orders, handled, dead):
    delivered = {line["order"] for line in handled if line["ok"]}
    dead = {line["order"] for line in dead}
    attempts = collections.defaultdict(list)
    for line in handled:
        attempts[line["order"]].append(line)
    early = 0
    for tries in attempts.values():
        for before, after in zip(tries, tries[1:]):
            if not before["ok"] and after["attempt"] == before["attempt"] + 1:
                backoff = min(50 * 2 ** before["attempt"], 5_000) / 1_000
                early += after["at"] - before["at"] < BACKOFF_SLACK * backoff
    limit = topology.WEBHOOKS["x-delivery-limit"]
    hopeless = {order for order in orders if not any(receiver.succeeds(order, attempt) for attempt in range(limit))}
    return [
        ("webhooks neither delivered nor dead", len(orders - delivered - dead), 0),
        ("tried again too early", early, 0),
        ("that no try can deliver, delivered", len(hopeless & delivered), 0),
    ]


def check_emails(orders, handled):
    early = sum(line["at"] < line["sent_at"] + line["delay"] / 1_000 for line in handled)
    return [("e-mails early", early, 0), ("e-mails not sent", len(orders - {line["order"] for line in handled}), 0)]


def check_video(jobs, events, dead, ends, killed_at):
    """No job is begun while another worker makes it: that one's lease holds as long as it lives. A run that was under way
    when the broker was killed is another matter: the broker that comes after knows of no lease."""
    broken, running, done = 0, {}, {line["job"] for line in dead}
    for event in events:
        job = event["job"]
        if event["event"] == "begin":
            before = running.get(job)
            if before and not before["at"] < killed_at <= event["at"]:
                broken += ends.get(before["process"], float("inf")) > event["at"]
            running[job] = event
        else:
            done.add(job)
            running.pop(job, None)
    return [("videos not made", len(jobs - done), 0), ("videos begun while another worker made them", broken, 0)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the builds")
    options = parser.parse_args()
    print(f"{options.orders} orders, seed {options.seed}", flush=True)
    place = pathlib.Path(tempfile.mkdtemp(prefix="forebay-shop-"))
    port, started = free_port(), time.monotonic()
    broker = Broker(options.programs / "forebay", place / "data", port)
    connection = broker.connection()
    topology.declare(connection.channel())
    connection.close()

    log = (place / "workers.log").open("ab")
    crew, files = Crew(log), collections.defaultdict(list)
    for queue, count in WORKERS.items():
        for number in range(count):
            files[queue].append(place / f"{queue}-{number}")
            command = [sys.executable, HERE / "worker.py", "127.0.0.1", port, queue, files[queue][-1]]
            crew.keep(queue, list(map(str, command)))
    for number in range(VIDEO_WORKERS):
        files["video"].append(place / f"video-{number}")
        command = [options.programs / "examples/shop_video", f"amqp://127.0.0.1:{port}", files["video"][-1], topology.LEASE_MS]
        crew.keep("video", list(map(str, command)))
    confirmed_file = place / "confirmed"
    command = [sys.executable, HERE / "producer.py", "127.0.0.1", port, options.orders, options.seed, confirmed_file]
    producer = subprocess.Popen(list(map(str, command)))
    try:
        if producer.wait() != 0:
            sys.exit("the producer failed")
        print("all orders are confirmed: kill -9 of the broker", flush=True)
        killed_at = time.time()
        broker.kill()
        broker.start()
        wait_until_empty(broker)
        crew.stop()
        dead = {queue: dead_letters(broker, queue) for queue in topology.QUEUES}
    finally:
        crew.is_open = False
        for process in [producer, broker.process, *crew.processes.values()]:
            process.kill()

    confirmed = lines(confirmed_file)
    by_kind = collections.defaultdict(list)
    for line in confirmed:
        by_kind[line["kind"]].append(line)
    orders = {line["order"] for line in by_kind["order"]}
    handled = {queue: lines(*paths) for queue, paths in files.items()}
    rows = [("orders not confirmed", options.orders - len(orders), 0)]
    rows += check_inventory(orders, handled["inventory"], dead["inventory"])
    rows += check_payments(orders, handled["payments"], dead["payments"], len(by_kind["duplicate"]))
    rows += check_webhooks(orders, handled["webhooks"], dead["webhooks"])
    rows += check_emails(orders, handled["emails"])
    rows += check_video({line["job"] for line in by_kind["video"]}, handled["video"], dead["video"], crew.ends, killed_at)
    for queue in topology.QUEUES:
        print(f"{queue:<12} handled {len(handled[queue]):>7}   dead letters {len(dead[queue]):>5}   workers died {crew.deaths[queue]:>4}")
    for what, found, expected in rows:
        print(f"{what:<44} {found:>6}   {'ok' if found == expected else 'WRONG'}")
    print(f"{time.monotonic() - started:.0f} s; files in {place}")
    sys.exit(0 if all(found == expected for _, found, expected in rows) else 1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
