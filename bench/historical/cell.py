"""What every cell reports; needs pyarrow only, so that Feast's environment can run it."""

import json
import os
import resource
import time
from statistics import median


def measured(ask, skip):  # noqa: ANN001, ANN201 - runs where our types are not
    """Print cpu and wall seconds, the peak of memory, and sums over the answer's features.

    With `WARM` in the environment, the medians of so many calls after a first one.
    """
    warm = int(os.environ.get("WARM", "0"))
    walls, cpus = [], []
    for _ in range(warm + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        answer = ask()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    wall, cpu = (median(spent[1:] or spent) for spent in (walls, cpus))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    import pyarrow.compute as pc

    columns = answer.columns[skip:]
    total = sum(pc.sum(column).as_py() or 0 for column in columns)
    nulls = sum(column.null_count for column in columns)
    check = [answer.num_rows, len(columns), nulls, total]
    print(json.dumps({"cpu": cpu, "wall": wall, "gb": peak, "check": check}))
