"""The limit: the round trip and the decoding, with values only - no types, statuses or ages."""

import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.online.cell import FEATURES, KEYS, MODES, OUTPUTS, VIEWS, WIDE, measured, report, value

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
NOTHING = [None] * FEATURES


def main() -> None:
    """Run `sqlite` or `redis address`."""
    kind, *address = sys.argv[1:]
    read = sqlite_reader() if kind == "sqlite" else redis_reader(address[0])

    def ask(views: int, *, computing: bool = False):  # noqa: ANN202
        def call(keys: list[int]) -> list[list[float | None]]:
            found = read(keys, range(views))
            rows = [[decode(body) if body else NOTHING for body in view] for view in found]
            columns = [list(column) for view in rows for column in zip(*view, strict=True)]
            if computing:
                pairs = zip(columns[0], columns[1], strict=True)
                columns.append([None if a is None else (a + b) / 2.0 for a, b in pairs])
            return columns

        return call

    found = {str(n): measured(ask(n)) for n in VIEWS}
    found["on demand"] = measured(ask(1, computing=True))
    found |= dict.fromkeys(MODES, measured(plain(read)))
    report(found)


def plain(read):  # noqa: ANN001, ANN201
    """Return what computes 100 outputs of 50 inputs in plain Python."""
    nothing = [None] * WIDE

    def call(keys: list[int]) -> list[list[float | None]]:
        [bodies] = read(keys, [max(VIEWS)])
        inputs = [decode(body) if body else nothing for body in bodies]
        rows = [
            [None if (v := row[n % WIDE]) is None else v * 2 + n for n in range(OUTPUTS)]
            for row in inputs
        ]
        return [list(column) for column in zip(*rows, strict=True)]

    return call


def rows():  # noqa: ANN201
    """Yield view, key and body."""
    for view in range(max(VIEWS)):
        for key in range(KEYS):
            yield view, key, encode([value(key, view, n) for n in range(FEATURES)])
    for key in range(KEYS):
        yield max(VIEWS), key, encode([value(key, max(VIEWS), n) for n in range(WIDE)])


def sqlite_reader():  # noqa: ANN201
    """Return what reads keys of views from one table, a query per view."""
    path = Path(tempfile.mkdtemp()) / "raw.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("create table r (v integer, k integer, b blob, primary key (v, k)) without rowid")
    with db:
        db.execute("begin")
        db.executemany("insert into r values (?, ?, ?)", rows())
        db.execute("commit")

    def read(keys: list[int], views: Sequence[int]) -> list[list[bytes | None]]:
        marks = ",".join("?" * len(keys))
        answers = []
        for view in views:
            query = f"select k, b from r where v = ? and k in ({marks})"
            held = dict(db.execute(query, (view, *keys)).fetchall())
            answers.append([held.get(key) for key in keys])
        return answers

    return read


def redis_reader(address: str):  # noqa: ANN201
    """Return what reads keys of views with one MGET, over a connection without its pool."""
    import redis

    client = redis.Redis.from_url(f"redis://{address}")
    pipe = client.pipeline(transaction=False)
    for view, key, body in rows():
        pipe.set(f"raw:{view}:{key}", body)
    pipe.execute()

    connection = client.connection_pool.make_connection()

    def read(keys: list[int], views: Sequence[int]) -> list[list[bytes | None]]:
        asked = [f"raw:{view}:{key}" for view in views for key in keys]
        connection.send_command("MGET", *asked, check_health=False)
        found = connection.read_response(disable_decoding=True)
        return [found[n * len(keys) : (n + 1) * len(keys)] for n in range(len(views))]

    return read


if __name__ == "__main__":
    main()
