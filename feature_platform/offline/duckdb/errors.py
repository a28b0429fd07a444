"""Errors of DuckDB, translated into ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from feature_platform.errors import (
    FeaturePlatformError,
    RequestError,
    SourceError,
    StoreError,
    first_line,
)


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors of the engine into ours."""
    try:
        yield
    except FeaturePlatformError:
        raise
    except (duckdb.Error, OSError) as error:
        raise _ours(error) from error


def reason_of(error: Exception) -> str:
    """Return why DuckDB cannot read something: the first line, and what a CSV reader adds to it."""
    lines = str(error).partition("\n\n")[0].splitlines()
    reason = first_line(error).removeprefix("Invalid Input Error: ")
    if reason.startswith(("CSV Error", "Error when sniffing")):
        added = [line for line in lines[1:3] if not line.startswith("Original Line")][:1]
        sentences = [reason, *added, "Write it as UTF-8 with one kind of line ends"]
        return ". ".join(sentence.rstrip(".") for sentence in sentences)
    return reason


def _ours(error: Exception) -> FeaturePlatformError:
    reason = first_line(error)
    kind = _kind(error)
    if issubclass(kind, duckdb.InterruptException):
        return StoreError("The query was cancelled.")
    if issubclass(kind, duckdb.OutOfMemoryException):
        return StoreError(f"The query needs more memory than offline_store.memory_limit: {reason}.")
    if issubclass(kind, duckdb.InvalidInputException):
        return SourceError(f"{reason_of(error)}.")
    if issubclass(kind, (duckdb.ConversionException, duckdb.OutOfRangeException)):
        # DuckDB reports the CSV column and line after the first line.
        whole = " ".join(str(error).partition("\n\n")[0].split())
        return SourceError(f"A value does not fit its declared type: {whole}")
    if issubclass(kind, (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)):
        return RequestError(f"The entity rows' SQL cannot run: {reason}.")
    return StoreError(f"The query failed: {reason}.")


def _kind(error: Exception) -> type[Exception]:
    """Return the class of an error; one that comes through Arrow while rows are read has a text."""
    if "INTERRUPT" in str(error):
        return duckdb.InterruptException
    if isinstance(error, duckdb.Error):
        return type(error)
    return next((of for start, of in _BY_START.items() if str(error).startswith(start)), OSError)


_BY_START = {
    "Out of Memory Error": duckdb.OutOfMemoryException,
    "Invalid Input Error": duckdb.InvalidInputException,
    "Conversion Error": duckdb.ConversionException,
    "Out of Range Error": duckdb.OutOfRangeException,
}
