"""Generated history and entity rows, the same for every system.

About 100 rows of history per key, one an hour or one a day, in the order of time, 10 features. 1%
of the rows tie with another on key and time and differ in their created time. 1% of the entity rows
lie exactly at a row of history, 1% exactly one ttl later, 1% ask for unknown keys. Features are
whole numbers, so that sums do not depend on the order.
"""

from pathlib import Path

import duckdb

FEATURES = 10
TTL_SECONDS = 86_400
ROWS_PER_KEY = 100
HOURLY, DAILY = 3_600, 86_400
_FIRST = 1_767_225_600_000_000


def history(folder: Path, rows: int, view: int, every: int) -> Path:
    """Write a view's history, a row of each key every so many seconds, unless it is there."""
    path = folder / f"history_{rows}_{every}_{view}.parquet"
    span = ROWS_PER_KEY * every * 1_000_000
    features = ", ".join(
        f"(hash(i, {view}, {n}) % 1000000)::DOUBLE AS f{n}" for n in range(FEATURES)
    )
    base = f"""SELECT i, (hash(i, {view}, 77) % {_keys(rows)})::BIGINT AS key,
        {_FIRST} + (i::HUGEINT * {span} // {rows})::BIGINT AS us FROM range({rows}) t(i)"""
    return _write(
        path,
        f"""SELECT key, make_timestamptz(us) AS event_timestamp,
            make_timestamptz(us + 60000000) AS created, {features} FROM ({base})
        UNION ALL SELECT key, make_timestamptz(us), make_timestamptz(us + 120000000),
            {features.replace("hash(i,", "hash(-i,")} FROM ({base}) WHERE i % 100 = 0""",
    )


def spine(folder: Path, rows: int, history_rows: int, every: int) -> Path:
    """Write entity rows, unless they are there."""
    path = folder / f"spine_{rows}_{history_rows}_{every}.parquet"
    first = history(folder, history_rows, 0, every)
    span = ROWS_PER_KEY * every * 1_000_000
    exact = max(rows // 100, 1)
    return _write(
        path,
        f"""WITH seen AS (SELECT key, epoch_us(event_timestamp) AS us FROM '{first}'
                USING SAMPLE {2 * exact} ROWS (reservoir, 1)),
            chosen AS (SELECT *, row_number() OVER () AS n FROM seen),
            random AS (SELECT (hash(i, 5) % {_keys(history_rows) * 101 // 100})::BIGINT AS key,
                {_FIRST} + (hash(i, 6) % {span})::BIGINT AS us
                FROM range({rows - 2 * exact}) t(i)),
            late AS (SELECT key, us + (n % 2) * {TTL_SECONDS}000000 AS us FROM chosen)
        SELECT row_number() OVER () AS id, key, make_timestamptz(us) AS event_timestamp
        FROM (FROM random UNION ALL FROM late)""",
    )


def taxi(folder: Path, trips: int) -> tuple[Path, Path, Path]:
    """Write trips, and what was measured per pickup zone each 15 and per drop-off zone each 30 min.

    The shape of the benchmark that Hopsworks published, on generated data: 260 zones, 90 days.
    """
    zones, days = 260, 90
    span = days * 86_400_000_000
    trip = _write(
        folder / f"trips_{trips}.parquet",
        f"""SELECT i AS trip, (hash(i, 1) % {zones})::BIGINT AS pickup_zone,
            (hash(i, 2) % {zones})::BIGINT AS dropoff_zone,
            make_timestamptz({_FIRST} + (hash(i, 3) % {span})::BIGINT) AS event_timestamp
        FROM range({trips}) t(i)""",
    )
    aggregates = [
        _write(
            folder / f"{name}.parquet",
            f"""SELECT (i % {zones})::BIGINT AS zone,
                make_timestamptz({_FIRST} + (i // {zones}) * {minutes}::BIGINT * 60000000)
                    AS event_timestamp,
                {", ".join(f"(hash(i, {n}) % 1000000)::DOUBLE AS {name}{n}" for n in range(5))}
            FROM range({zones * days * 24 * 60 // minutes}) t(i)""",
        )
        for name, minutes in (("pickup", 15), ("dropoff", 30))
    ]
    return trip, aggregates[0], aggregates[1]


def _keys(rows: int) -> int:
    return max(rows // ROWS_PER_KEY, 1)


def _write(path: Path, query: str) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute(f"COPY ({query}) TO '{unfinished}' (FORMAT parquet)")
        unfinished.rename(path)
    return path
