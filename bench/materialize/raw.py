"""The limit: DuckDB's latest row of each key, and one bulk write into an empty store."""

import sqlite3
import sys
from pathlib import Path

import duckdb
import msgspec

from bench.materialize.cell import FEATURES, asked, measured

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
ROWS = 10_000


def main() -> None:
    """Run `history keys folder sqlite` or `… redis address`."""
    history, keys, folder, kind, *address = sys.argv[1:]
    wanted = asked(int(keys))
    names = ", ".join(f"h.f{n}" for n in range(FEATURES))
    sql = f"""WITH latest AS (SELECT key, max((epoch_us(event_timestamp)::HUGEINT << 64)
            + epoch_us(created)) AS at FROM '{history}' GROUP BY key)
        SELECT h.key, {names} FROM latest l JOIN (SELECT *, (epoch_us(event_timestamp)::HUGEINT
            << 64) + epoch_us(created) AS at FROM '{history}') h ON l.key = h.key AND l.at = h.at"""

    def batches():  # noqa: ANN202
        db = duckdb.connect()
        db.execute("SET enable_progress_bar = false")
        cursor = db.execute(sql)
        while rows := cursor.fetchmany(ROWS):
            yield [(key, encode(values)) for key, *values in rows]

    if kind == "redis":
        import redis

        client = redis.Redis.from_url(f"redis://{address[0]}")

        def load() -> None:
            for rows in batches():
                client.mset({f"raw:{key}": body for key, body in rows})

        def look() -> float:
            return total(client.mget([f"raw:{key}" for key in wanted]))
    else:
        db = sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)
        db.execute("pragma journal_mode = wal")
        db.execute("create table r (k integer primary key, b blob)")

        def load() -> None:
            for rows in batches():
                db.execute("begin")
                db.executemany("insert or replace into r values (?, ?)", rows)
                db.execute("commit")

        def look() -> float:
            found = (db.execute("select b from r where k = ?", (key,)).fetchone() for key in wanted)
            return total([row and row[0] for row in found])

    measured(load, look)


def total(bodies: list[bytes | None]) -> float:
    """Return the sum of all values."""
    return sum(sum(decode(body)) for body in bodies if body)


if __name__ == "__main__":
    main()
