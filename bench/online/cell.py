"""What all systems have in common; needs only Python, so that Feast's environment can run it."""

import gc
import json
import sys
import time

BATCHES = (1, 10, 100, 1000)
VIEWS = (1, 5, 50)
FEATURES = 10
WIDE = 50
"""Features of the view that the modes of on-demand views read."""
OUTPUTS = 100
MODES = ("row", "pandas", "sql")
KEYS = 10_000
ROUNDS = 3
SECONDS = 0.5
MOST_CALLS = 2000


def keys(batch, call):  # noqa: ANN001, ANN201 - runs where our types are not
    """Return the keys of a call; every tenth one is unknown."""
    first = call * 7919
    return [(first + n * 31) % (KEYS * 10 // 9) for n in range(batch)]


def value(key, view, feature):  # noqa: ANN001, ANN201
    """Return what a view holds for a key."""
    return float((key * 31 + view * 7 + feature) % 1009)


def measured(ask, batches=BATCHES):  # noqa: ANN001, ANN201
    """Return the cpu milliseconds of one call, by batch, and a sum of what was answered.

    `ask(keys)` returns lists of values.
    """
    costs, sums = {}, {}
    gc.disable()
    for batch in batches:
        checked = [keys(batch, call) for call in range(3)]
        sums[batch] = sum(v or 0 for each in checked for column in ask(each) for v in column)
        asked = [keys(batch, call) for call in range(MOST_CALLS)]
        costs[batch] = min(cost(ask, asked) for _ in range(ROUNDS))
        gc.collect()
    return {"cpu": costs, "sums": sums}


def cost(ask, asked):  # noqa: ANN001, ANN201
    """Return the cpu milliseconds of one call."""
    calls, begun = 0, time.process_time()
    while calls < MOST_CALLS and time.process_time() - begun < SECONDS:
        ask(asked[calls])
        calls += 1
    return 1000 * (time.process_time() - begun) / calls


def report(found):  # noqa: ANN001, ANN201
    """Print what was measured as the last line."""
    sys.stdout.write(json.dumps(found) + "\n")
