"""A log in an S3 bucket: one object per commit, created only where none is."""

import time
from functools import cached_property
from typing import Any, Self

from feature_platform.errors import ConfigError, StoreError, UnknownOutcomeError
from feature_platform.registry.logs.base import CommitLog

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2
_TAKEN = 412
_RETRY = (409, 500, 502, 503, 504)


class S3Log(CommitLog):
    """Objects `<prefix>/_log/<20 digits>.json`, written with `If-None-Match: *`.

    The SDK never repeats a write by itself: its second attempt would take our own first one for
    somebody else's. An attempt whose answer was lost is settled by what is stored under the number.

    Args:
        bucket: Name of the bucket.
        prefix: What the log's keys start with.
        client: A boto3 S3 client; made from the environment (region, credentials,
            `AWS_ENDPOINT_URL`) at the first call if left out.
    """

    def __init__(self, bucket: str, prefix: str, client: Any = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/_log/" if prefix else "_log/"
        self._given = client

    @classmethod
    def open(cls, url: str) -> Self:
        """Read `s3://bucket/prefix`.

        Raises:
            ConfigError: The URL names no bucket.
        """
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError(f"registry: {url!r} names no bucket; write s3://bucket/prefix.")
        return cls(bucket, prefix.strip("/"))

    def read(self, after: int) -> list[bytes]:
        records: list[bytes] = []
        while (record := self._get(after + len(records) + 1)) is not None:
            records.append(record)
        return records

    def append(self, number: int, record: bytes) -> bool:
        if number > 1 and self._get(number - 1) is None:
            return False
        for attempt in range(_ATTEMPTS):
            outcome = self._put(number, record)
            if outcome == "stored":
                return True
            stored = self._settled(number)
            if stored is not None:
                return stored == record
            if outcome == "taken":
                break
            time.sleep(_PAUSE_SECONDS * attempt)
        raise UnknownOutcomeError(
            f"S3 never said whether registry commit {number} was stored in "
            f"{self._bucket}/{self._prefix}. Look for it with `feature-platform history`."
        )

    def _put(self, number: int, record: bytes) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._key(number),
                Body=record,
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status == _TAKEN:
                return "taken"
            if status in _RETRY:
                return "unknown"
            raise self._failed("cannot be written", error) from error
        except BotoCoreError:
            return "unknown"
        return "stored"

    def _settled(self, number: int) -> bytes | None:
        try:
            return self._get(number)
        except StoreError:
            return None

    def _get(self, number: int) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(number))
            body: bytes = answer["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
                return None
            raise self._failed("cannot be read", error) from error
        except BotoCoreError as error:
            raise self._failed("cannot be read", error) from error
        return body

    def _failed(self, what: str, error: Exception) -> StoreError:
        return StoreError(
            f"Registry s3://{self._bucket}/{self._prefix} {what}: {error}. Check the bucket, the "
            "region and the credentials."
        )

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:020d}.json"

    @cached_property
    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        import boto3
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10)
        return boto3.client("s3", config=config)
