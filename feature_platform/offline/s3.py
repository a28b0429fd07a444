"""The S3 client of files."""

import os
from typing import Any

from pyarrow import fs


def s3_client(endpoint: str) -> fs.S3FileSystem:
    """Return pyarrow's S3 client; credentials and region come from the environment.

    Args:
        endpoint: An S3-compatible endpoint; empty for `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`
            or Amazon's.
    """
    options: dict[str, Any] = {}
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3", "")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint:
        scheme, separator, host = endpoint.partition("://")
        options["endpoint_override"] = host if separator else endpoint
        options["scheme"] = scheme if separator else "https"
    return fs.S3FileSystem(**options)
