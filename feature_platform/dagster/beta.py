"""Features of Dagster that we use although it calls them beta."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg


@contextmanager
def accepted() -> Iterator[None]:
    """Silence Dagster's warnings about features that we chose and test.

    Code references, IO managers of single assets, single-run backfills and pools: a user can do
    nothing about them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield
