"""Errors of DuckDB, translated into ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from feature_platform.errors import FeaturePlatformError, RequestError, SourceError, StoreError


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors of the engine into ours."""
    try:
        yield
    except FeaturePlatformError:
        raise
    except duckdb.InterruptException as error:
        raise StoreError("The query was cancelled.") from error
    except duckdb.OutOfMemoryException as error:
        raise StoreError(
            f"The query needs more memory than offline_store.memory_limit: {first_line(error)}"
        ) from error
    except duckdb.InvalidInputException as error:
        raise SourceError(first_line(error).removeprefix("Invalid Input Error: ")) from error
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        # DuckDB reports the CSV column and line after the first line.
        reason = " ".join(str(error).partition("\n\n")[0].split())
        raise SourceError(f"A value does not fit its declared type: {reason}") from error
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise RequestError(f"The entity rows' SQL cannot run: {first_line(error)}") from error
    except (duckdb.Error, OSError) as error:
        if "INTERRUPT" in str(error):
            raise StoreError("The query was cancelled.") from error
        raise StoreError(f"The query failed: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error."""
    return str(error).partition("\n")[0]
