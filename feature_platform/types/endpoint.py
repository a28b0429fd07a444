"""Endpoints: addresses of servers, which are shown and stored, so they contain no credentials."""

from typing import Annotated

from pydantic import AfterValidator


def _check(value: str) -> str:
    if "@" in value:
        raise ValueError("an endpoint has no user or password; AWS credentials are set elsewhere")
    return value


Endpoint = Annotated[str, AfterValidator(_check)]
"""URL or host of a server, such as `http://localhost:9000`."""
