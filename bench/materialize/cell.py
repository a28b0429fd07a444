"""What every cell reports; needs only Python, so that Feast's environment can run it."""

import json
import resource
import sys
import time

FEATURES = 10
START, END, NEXT = "2026-01-01T00:00:00", "2026-04-11T00:00:00", "2026-04-11T01:00:00"


def measured(load, look, increment=None):  # noqa: ANN001, ANN201 - runs where our types are not
    """Print cpu and wall seconds and the peak of memory of `load()`, and what `look()` finds.

    `increment()`, which has nothing to load, is measured on its own.
    """
    look()  # imports and connections are not counted
    wall, cpu = time.perf_counter(), time.process_time()
    load()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    found = {"cpu": cpu, "wall": wall, "gb": peak, "check": look()}
    if increment:
        started = time.process_time()
        increment()
        found["increment"] = time.process_time() - started
    sys.stdout.write(json.dumps(found) + "\n")


def asked(keys):  # noqa: ANN001, ANN201
    """Return the keys that are looked at afterwards."""
    return [(n * 7919) % keys for n in range(200)]
