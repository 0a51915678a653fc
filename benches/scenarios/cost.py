"""What a broker's process has spent since a moment, from /proc, and what its load has."""

import os
import resource
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def written_octets(pid):
    """What the process had the kernel write to the disk, file by file cached or not."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def load_seconds():
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Cost:
    """Begins to count when it is made. Of a broker that is no process of ours nothing is known."""

    def __init__(self, subject):
        self.pid, self.before = subject.pid, self.read(subject.pid)

    @staticmethod
    def read(pid):
        return (cpu_seconds(pid), written_octets(pid), load_seconds()) if pid else None

    def figures(self, count, unit="msg"):
        if self.before is None or not count:
            return {}
        cpu, written, load = (now - then for now, then in zip(self.read(self.pid), self.before))
        return {
            f"broker CPU µs/{unit}": cpu * 1e6 / count,
            f"load CPU µs/{unit}": load * 1e6 / count,
            f"to disk B/{unit}": written / count,
        }
