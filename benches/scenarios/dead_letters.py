"""What dead letters and times to live cost: rows of the table, see `rows.py`."""

import base64
import json
import subprocess
import time
import urllib.request

from amqp import REJECT, Wire, message
from cost import cpu_seconds

CHUNK = 1000
HOUR_MS = 3_600_000


def fill(subject, queue, count):
    """Publishes with confirms; the processor time that the broker spent, in seconds."""
    wire, content = Wire(subject.address), message("", queue, 100)
    wire.confirm_select()
    begin = spent(subject)
    for at in range(0, count, CHUNK):
        wire.socket.sendall(content * CHUNK)
        wire.await_confirms(at + CHUNK)
    wire.close()
    return spent(subject) - begin


def spent(subject):
    return cpu_seconds(subject.pid) if subject.is_ours() else 0.0


def await_ready(wire, queue, count):
    while wire.ready(queue) != count:
        time.sleep(0.02)


def rejected(count):
    """A consumer refuses every message, a thousand at a time; then each goes back where it died."""

    def row(subject, binary, scale):
        messages, queue, dead = max(1, int(count * scale) // CHUNK) * CHUNK, "bench.letters", "bench.letters.dead"
        wire, consumer = Wire(subject.address), Wire(subject.address)
        wire.declare(dead)
        wire.declare(queue, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        fill(subject, queue, messages)
        cpu, begin = spent(subject), time.monotonic()
        consumer.consume([queue], 1000)
        consumer.take(messages, REJECT)
        await_ready(wire, dead, messages)
        figures = {"dead-lettered msgs/s": messages / (time.monotonic() - begin)}
        figures["dead-letter CPU µs/msg"] = (spent(subject) - cpu) * 1e6 / messages
        consumer.close()
        if hasattr(subject, "admin"):
            cpu, begin = spent(subject), time.monotonic()
            command = [binary, "dlq", "redrive", dead, "--admin", subject.admin]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            await_ready(wire, queue, messages)
            figures["redriven msgs/s"] = messages / (time.monotonic() - begin)
            figures["redrive CPU µs/msg"] = (spent(subject) - cpu) * 1e6 / messages
        wire.delete(queue)
        wire.delete(dead)
        wire.close()
        return figures

    return row


def time_to_live(count, ttl):
    """Fill and drain a queue whose messages live for an hour, or for ever; then what it costs when
    all of it is too old at once, through a policy."""

    def row(subject, _, scale):
        messages, queue = max(1, int(count * scale) // CHUNK) * CHUNK, "bench.ttl"
        if subject.is_ours():
            subject.restart()
        wire = Wire(subject.address)
        wire.declare(queue, {"x-message-ttl": ttl} if ttl else {})
        idle = subject.memory_kib() if subject.is_ours() else 0
        figures = {"fill CPU µs/msg": fill(subject, queue, messages) * 1e6 / messages}
        if subject.is_ours():
            figures["memory above idle MiB"] = (subject.memory_kib("VmHWM") - idle) / 1024
        consumer, cpu = Wire(subject.address), spent(subject)
        consumer.consume([queue], 1000)
        consumer.take(messages)
        figures["drain CPU µs/msg"] = (spent(subject) - cpu) * 1e6 / messages
        consumer.close()
        if ttl and hasattr(subject, "admin"):
            fill(subject, queue, messages)
            cpu, begin = spent(subject), time.monotonic()
            set_policy(subject, {"pattern": "^bench.ttl$", "definition": {"message-ttl": 1}})
            await_ready(wire, queue, 0)
            figures["all expire at once s"] = time.monotonic() - begin
            figures["expire CPU µs/msg"] = (spent(subject) - cpu) * 1e6 / messages
            set_policy(subject, None)
        wire.delete(queue)
        wire.close()
        return figures

    return row


def set_policy(subject, policy):
    request = urllib.request.Request(
        f"http://{subject.admin}/api/policies/%2F/bench",
        method="PUT" if policy else "DELETE",
        data=json.dumps(policy).encode() if policy else None,
        headers={"authorization": "Basic " + base64.b64encode(b"guest:guest").decode()})
    urllib.request.urlopen(request, timeout=60).close()
