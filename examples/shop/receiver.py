"""The customers' servers, to which webhooks go."""

import zlib

FAILURES = 0.3


def succeeds(order, attempt):
    """Three calls in ten fail, the same ones in every run."""
    return zlib.crc32(f"{order}-{attempt}".encode()) % 1_000 >= FAILURES * 1_000
