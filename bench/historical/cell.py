"""What every cell reports; needs pyarrow only, so that Feast's environment can run it."""

import json
import resource
import time


def measured(ask, skip):  # noqa: ANN001, ANN201 - runs where our types are not
    """Print cpu and wall seconds, the peak of memory, and sums over the answer's features."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = ask()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    import pyarrow.compute as pc

    columns = answer.columns[skip:]
    total = sum(pc.sum(column).as_py() or 0 for column in columns)
    nulls = sum(column.null_count for column in columns)
    check = [answer.num_rows, len(columns), nulls, total]
    print(json.dumps({"cpu": cpu, "wall": wall, "gb": peak, "check": check}))
