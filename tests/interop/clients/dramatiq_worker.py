"""dramatiq: dramatiq_worker.py amqp://guest:guest@HOST:PORT"""

import sys
import threading
import uuid

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

PATIENCE_SECONDS = 60
broker = RabbitmqBroker(url=sys.argv[1], max_priority=10)
dramatiq.set_broker(broker)
queue = f"dramatiq-{uuid.uuid4().hex[:8]}"
seen = []
failures = []
finished = threading.Event()


@dramatiq.actor(queue_name=queue)
def note(number):
    seen.append(number)


@dramatiq.actor(queue_name=queue, max_retries=3, min_backoff=10, max_backoff=20)
def fails_twice():
    failures.append(None)
    if len(failures) < 3:
        raise RuntimeError("on purpose")
    finished.set()


worker = dramatiq.Worker(broker, worker_threads=2)
worker.start()
try:
    for number in range(50):
        note.send(number)
    note.send_with_options(args=(50,), delay=500)
    fails_twice.send()
    assert finished.wait(PATIENCE_SECONDS), "the failing one was not tried again"
    broker.join(queue, timeout=PATIENCE_SECONDS * 1000)
    worker.join()
    assert sorted(seen) == list(range(51)), seen
finally:
    worker.stop()
    for name in [queue, f"{queue}.DQ", f"{queue}.XQ"]:
        broker.channel.queue_delete(name)
    broker.close()
