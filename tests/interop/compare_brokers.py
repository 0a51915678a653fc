"""Says the same to two brokers, frame by frame, and compares what they answer.

    compare_brokers.py OURS OTHER     compares; OTHER is HOST:PORT or a record
    compare_brokers.py --record ADDR  writes a record of a broker to stdout
    --only RE                         those scenarios only
    --show                            both answers of every scenario that is known to differ

rabbitmq.txt beside this file is the record of RabbitMQ 3.10.8. A scenario that is known to differ
names the reason; when it does not differ any more, that is an error too. A difference counts when
it shows four times, the broker having more time at each: a slow machine is no difference.
"""

import argparse
import difflib
import importlib
import re
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from comparison.peer import Peer
from comparison.scenario import SCENARIOS

SILENCES_SECONDS = [0.15, 0.3, 0.6, 1.2]
"""How long a broker may think at the first try, at the second …"""
AT_ONCE = 8

for path in sorted((Path(__file__).parent / "comparison").glob("on_*.py")):
    importlib.import_module(f"comparison.{path.stem}")


def transcript(address, name, silence_seconds):
    peer = Peer(address, f"cmp-{uuid.uuid4().hex[:8]}", silence_seconds)
    try:
        SCENARIOS[name](peer)
        return peer.transcript()
    finally:
        peer.clean()


def read_record(path):
    record, lines = {}, None
    for line in Path(path).read_text().splitlines():
        if line.startswith("== "):
            lines = record.setdefault(line[3:], [])
        elif line:
            lines.append(line)
    return record


class Comparison:
    def __init__(self, ours, other):
        self.ours = ours
        self.other = other
        self.record = None if re.fullmatch(r".*:\d+", other) else read_record(other)

    def of(self, name):
        """Both answers, alike when they were alike once."""
        for silence in SILENCES_SECONDS:
            ours = transcript(self.ours, name, silence)
            if self.record is not None:
                other = self.record.get(name, ["no such scenario in the record"])
            else:
                other = transcript(self.other, name, silence)
            if ours == other:
                break
        return name, ours, other


def compare(comparison, names, show):
    bad = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, ours, other in pool.map(comparison.of, names):
            reason = SCENARIOS[name].deviates
            if (ours != other) == (reason is not None):
                if not (reason and show):
                    continue
                print(f"== {name}: differs on purpose: {reason}")
            else:
                bad += 1
                print(f"== {name}: " + (f"no longer differs: {reason}" if reason else "DIFFERS"))
            print("\n".join(difflib.unified_diff(other, ours, "other", "ours", lineterm="", n=9)))
    known = sum(SCENARIOS[name].deviates is not None for name in names)
    print(f"{len(names)} scenarios, {known} known to differ, {bad} wrong")
    return bad == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("brokers", nargs="+", metavar="HOST:PORT")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if len(options.brokers) != (1 if options.record else 2):
        parser.error("one broker with --record, otherwise two")
    names = [name for name in SCENARIOS if re.search(options.only, name)]
    if not names:
        parser.error(f"no scenario matches '{options.only}'")
    if options.record:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = pool.map(lambda name: transcript(options.brokers[0], name, SILENCES_SECONDS[1]), names)
            for name, lines in zip(names, answers):
                print("\n".join([f"== {name}", *lines, ""]))
        return 0
    return 0 if compare(Comparison(*options.brokers), names, options.show) else 1


if __name__ == "__main__":
    sys.exit(main())
