"""A Celery worker of three queues that is killed: celery_queues.py [amqp://guest:guest@HOST:PORT//]

The worker holds one prefetch for its three queues together, not one for each; tasks with an ETA and
tasks that were in hand are done after `kill -9`. Needs celery and, for the count of what is held,
the broker's management API at CELERY_ADMIN (default http://127.0.0.1:15672).
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
from celery import Celery

PATIENCE_SECONDS = 60
QUEUES = ("a", "b", "c")
WORKER_PROCESSES = 2
ADMIN = os.environ.get("CELERY_ADMIN", "http://127.0.0.1:15672")
BROKER = os.environ.setdefault(
    "CHECK_BROKER", sys.argv[1] if len(sys.argv) == 2 else "amqp://guest:guest@127.0.0.1:5672//"
)
MARKS = Path(os.environ.setdefault("CHECK_MARKS", tempfile.mkdtemp()))

app = Celery("celery_queues", broker=BROKER, backend="rpc://")
app.conf.update(
    task_acks_late=True,
    task_default_queue="a",
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


@app.task
def add(left, right):
    return left + right


@app.task
def hold(number):
    """Runs until it is let go."""
    note("held", number)
    while not (MARKS / "go").exists():
        time.sleep(0.05)
    note("done", number)


def note(name, number):
    with (MARKS / name).open("a") as file:
        file.write(f"{number}\n")


def noted(name):
    path = MARKS / name
    return set(path.read_text().split()) if path.exists() else set()


def until(holds, what):
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.1)


def unacked():
    response = requests.get(f"{ADMIN}/api/queues/%2F", auth=("guest", "guest"), timeout=PATIENCE_SECONDS)
    return sum(queue.get("messages_unacknowledged", 0) for queue in response.json() if queue["name"] in QUEUES)


def worker():
    command = [sys.executable, "-m", "celery", "--app", "celery_queues", "worker"]
    command += ["--queues", ",".join(QUEUES), "--concurrency", str(WORKER_PROCESSES), "--loglevel", "WARNING"]
    command += ["--without-mingle", "--without-gossip"]
    return subprocess.Popen(command, cwd=Path(__file__).parent, start_new_session=True)


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main():
    process = worker()
    try:
        for number in range(12):
            hold.apply_async((number,), queue=QUEUES[number % 3])
        until(lambda: unacked() == WORKER_PROCESSES == len(noted("held")), "one prefetch for all queues")
        kill(process)
        (MARKS / "go").touch()
        process = worker()
        until(lambda: len(noted("done")) == 12, "every task is done after the worker was killed")
        later = [add.apply_async((number, 1), countdown=8, queue=QUEUES[number % 3]) for number in range(20)]
        until(lambda: unacked() > WORKER_PROCESSES, "tasks with an ETA raise the prefetch")
        kill(process)
        process = worker()
        assert [result.get(PATIENCE_SECONDS) for result in later] == list(range(1, 21))
        print("12 tasks of three queues and 20 with an ETA were done, the worker killed twice")
    finally:
        kill(process)


if __name__ == "__main__":
    main()
