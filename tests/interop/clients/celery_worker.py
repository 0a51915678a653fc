"""Celery, with real workers: celery_worker.py amqp://guest:guest@HOST:PORT

Results by rpc://, retries, ETA, groups and chains, acks_late with a worker that is killed.
"""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from celery import Celery, chain, group

PATIENCE_SECONDS = 60
BROKER = os.environ.setdefault("CHECK_BROKER", sys.argv[1] if len(sys.argv) > 1 else "")
QUEUE = os.environ.setdefault("CHECK_QUEUE", f"celery-{uuid.uuid4().hex[:8]}")
MARKS = Path(os.environ.setdefault("CHECK_MARKS", tempfile.mkdtemp()))

app = Celery("celery_worker", broker=BROKER, backend="rpc://")
app.conf.update(
    task_default_queue=QUEUE,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    event_queue_prefix=QUEUE,
)


@app.task
def add(left, right):
    return left + right


@app.task(bind=True, max_retries=3, default_retry_delay=0.1)
def fails_twice(self):
    if self.request.retries < 2:
        raise self.retry()
    return self.request.retries


@app.task(acks_late=True, reject_on_worker_lost=True)
def hangs_once(name):
    """The first that runs it waits to be killed."""
    try:
        (MARKS / name).mkdir()
    except FileExistsError:
        return "done by another"
    signal.pause()


def worker():
    command = [sys.executable, "-m", "celery", "--app", "celery_worker", "worker", "--pool", "solo"]
    command += ["--without-mingle", "--without-gossip", "--loglevel", "WARNING", "--hostname", f"{uuid.uuid4()}@check"]
    return subprocess.Popen(command, cwd=Path(__file__).parent, start_new_session=True)


def main():
    workers = [worker()]
    try:
        assert add.delay(2, 3).get(PATIENCE_SECONDS) == 5
        assert fails_twice.delay().get(PATIENCE_SECONDS) == 2
        sums = group(add.s(number, number) for number in range(50)).apply_async()
        assert sums.get(PATIENCE_SECONDS) == [2 * number for number in range(50)]
        assert chain(add.s(1, 2), add.s(10), add.s(100)).apply_async().get(PATIENCE_SECONDS) == 113
        later = [add.apply_async((number, 1), countdown=1) for number in range(20)]
        assert [result.get(PATIENCE_SECONDS) for result in later] == list(range(1, 21))

        result = hangs_once.delay("mark")
        while not (MARKS / "mark").exists():
            assert workers[0].poll() is None, "the worker ended"
        os.kill(workers[0].pid, signal.SIGKILL)
        workers.append(worker())
        assert result.get(PATIENCE_SECONDS) == "done by another"
    finally:
        for process in workers:
            process.kill()
            process.wait()
        with app.connection() as connection:
            for name in [QUEUE, f"{QUEUE}.dlq"]:
                connection.default_channel.queue_delete(name)


if __name__ == "__main__":
    main()
