"""One cell of the limit: the plans that DuckDB itself offers, written by hand, without checks."""

import sys

import duckdb
import pyarrow as pa
from pyarrow import parquet

from bench.historical.cell import measured
from bench.historical.data import FEATURES

NAMES = [f"f{n}" for n in range(FEATURES)]


def view_sql(plan: str, number: int, path: str, ttl: int) -> list[str]:
    """Return the parts of one view: what each entity row matches, and the features of that."""
    listed = ", ".join(NAMES)
    limit = f"AND h.e >= s.t - {ttl}" if ttl else ""
    low = f"AND event_timestamp >= make_timestamptz((SELECT min(t) FROM s) - {ttl})" if ttl else ""
    window = f"event_timestamp <= make_timestamptz((SELECT max(t) FROM s)) {low}"
    source = f"read_parquet('{path}', file_row_number = true)"
    times = "epoch_us(event_timestamp) AS e, epoch_us(created) AS c"
    if plan == "pairs":  # a range join, and the greatest of each entity row's pairs
        match = f"""SELECT s.r, max_by(h.n, (h.e, h.c)) AS n FROM s
            JOIN (SELECT key, {times}, file_row_number AS n FROM {source} WHERE {window}) h
            ON s.key = h.key AND h.e <= s.t {limit} GROUP BY s.r"""
    elif plan == "asof":  # one narrow ASOF join on both times in one number
        match = f"""SELECT s.r, h.n FROM s ASOF JOIN (
            SELECT key, (epoch_us(event_timestamp)::HUGEINT << 64) + epoch_us(created) AS ec,
                epoch_us(event_timestamp) AS e, file_row_number AS n FROM {source} WHERE {window}) h
            ON s.key = h.key AND (s.t::HUGEINT << 64) + 9223372036854775807 >= h.ec
            WHERE TRUE {limit}"""
    else:  # "ties": an ASOF join on the event time, then the best row of each winner
        return [
            f"""m{number} AS MATERIALIZED (SELECT s.r, h.key, h.e FROM s ASOF JOIN (
                SELECT key, epoch_us(event_timestamp) AS e FROM '{path}' WHERE {window}) h
                ON s.key = h.key AND s.t >= h.e WHERE TRUE {limit})""",
            f"""b{number} AS (SELECT x.* FROM (SELECT key, {times}, {listed} FROM '{path}'
                WHERE {window}) x JOIN (SELECT DISTINCT key, e FROM m{number}) w
                ON x.key = w.key AND x.e = w.e
                QUALIFY row_number() OVER (PARTITION BY x.key, x.e ORDER BY c DESC) = 1)""",
            f"""f{number} AS (SELECT m.r, {listed} FROM m{number} m JOIN b{number} b
                ON m.key = b.key AND m.e = b.e)""",
        ]
    return [
        f"m{number} AS ({match})",
        f"""f{number} AS (SELECT m.r, {listed} FROM m{number} m JOIN (
            SELECT file_row_number AS n, {listed} FROM {source}) x ON m.n = x.n)""",
    ]


def main() -> None:
    """Run `plan spine ttl history…`."""
    plan, spine, ttl, *paths = sys.argv[1:]
    numbered = "row_number() OVER () AS r, epoch_us(event_timestamp) AS t"
    parts = [f"s AS MATERIALIZED (SELECT {numbered}, * FROM given)"]
    for number, path in enumerate(paths):
        parts += view_sql(plan, number, path, int(ttl) * 1_000_000)
    columns = [f"f{n}.{name} AS v{n}__{name}" for n in range(len(paths)) for name in NAMES]
    joins = " ".join(f"LEFT JOIN f{n} ON s.r = f{n}.r" for n in range(len(paths)))
    sql = (
        f"WITH {', '.join(parts)} SELECT s.id, s.key, s.event_timestamp, {', '.join(columns)} "
        f"FROM s {joins} ORDER BY s.r"
    )
    rows = parquet.read_table(spine)

    def ask() -> pa.Table:
        db = duckdb.connect()
        db.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        db.register("given", rows)
        return db.sql(sql).to_arrow_table()

    measured(ask, skip=rows.num_columns)


if __name__ == "__main__":
    main()
