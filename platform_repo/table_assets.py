"""The tables behind the sources, as Dagster assets."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from tables import FLIGHTS, FROM_FILES, FROM_FLIGHTS, build

DATA = Path(__file__).parents[1] / "data"
FLIGHTS_PATH = DATA / "flights.parquet"


@dg.asset(
    key=["tables", "flights"],
    group_name="tables",
    kinds={"parquet"},
    description="336,776 flights that left New York in 2013, every time in UTC.",
)
def flights() -> dg.MaterializeResult[None]:
    return _written(build(FLIGHTS, FLIGHTS_PATH))


def _table_asset(name: str, sql: str, upstream: list[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    source = FLIGHTS_PATH if upstream else None

    @dg.asset(key=["tables", name], deps=upstream, group_name="tables", kinds={"parquet", "duckdb"})
    def table() -> dg.MaterializeResult[None]:
        return _written(build(sql, DATA / "features" / f"{name}.parquet", source))

    return table


def _written(rows: int) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"dagster/row_count": dg.MetadataValue.int(rows)})


def table_assets() -> Iterator[dg.AssetsDefinition]:
    """Return the assets of all tables."""
    yield flights
    for name, sql in FROM_FILES.items():
        yield _table_asset(name, sql, [])
    for name, sql in FROM_FLIGHTS.items():
        yield _table_asset(name, sql, [flights])
