"""A log in an S3 bucket, with an object per commit that is never overwritten."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import takewhile
from typing import Any, Self, cast

from feature_platform.errors import ConfigError, StoreError, UnknownOutcomeError
from feature_platform.lazy import Lazy
from feature_platform.registry.logs.base import LAST, CommitLog

_DEADLINE_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_READERS = 16
_SEQUENTIAL_READS = 16
_READ_ATTEMPTS = 6
_PROBE = 0
_ABSENT = {"NoSuchKey", "404"}
_TAKEN = 412
_UNSUPPORTED = 501
_RETRY = (409, 500, 502, 503, 504)


class S3Log(CommitLog):
    """Objects `<prefix>/_log/<20 digits>.json`, written with `If-None-Match: *`.

    After a lost response, a conflict (409) or a refusal (412), the object under the number decides
    the outcome: the same bytes are sent to the same number until an object exists. No other number
    is tried before. Disable retries of the SDK, which would report the client's own first attempt
    as a conflict.

    Keys of checkpoints sort newest first, so one listing returns the newest.

    Args:
        bucket: Name of the bucket.
        prefix: Prefix of the log's keys.
        client: A boto3 S3 client; by default, the first call creates one from the environment
            (region, credentials, `AWS_ENDPOINT_URL`).
        deadline_seconds: Maximum time to determine the outcome of a write.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        client: Any = None,
        *,
        deadline_seconds: float = _DEADLINE_SECONDS,
        first_pause_seconds: float = _FIRST_PAUSE_SECONDS,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client_of = Lazy(lambda: client or _default_client())
        self._deadline_seconds = deadline_seconds
        self._first_pause_seconds = first_pause_seconds
        self._probed = False

    @classmethod
    def open(cls, url: str, client: Any = None) -> Self:
        """Open the log of a URL `s3://bucket/prefix`.

        Raises:
            ConfigError: The URL has no bucket.
        """
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError(f"registry: {url!r} has no bucket. Write s3://bucket/prefix.")
        if "@" in bucket:
            raise ConfigError(
                "registry: the S3 URL is not s3://bucket/prefix. Credentials come from the "
                "environment."
            )
        return cls(bucket, prefix.strip("/"), client)

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        last = LAST if limit is None else after + limit
        records: list[bytes] = []
        with ThreadPoolExecutor(_READERS) as pool:
            while (first := after + len(records) + 1) <= last:
                # Most reads return few records; read a long log in parallel.
                size = min(1 if len(records) < _SEQUENTIAL_READS else _READERS, last - first + 1)
                keys = [self._commit_key(number) for number in range(first, first + size)]
                results = [self._get(keys[0])] if size == 1 else pool.map(self._get, keys)
                batch = list(takewhile(lambda record: record is not None, results))
                records += cast("list[bytes]", batch)
                if len(batch) < size:
                    break
        return records

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        self._probe()
        if number > 1 and self._get(self._commit_key(number - 1)) is None:
            return False
        stored = self._settle(self._commit_key(number), record)
        if stored is None:
            raise UnknownOutcomeError(
                f"Registry {self}: commit {commit_id} may or may not have been stored as number "
                f"{number}. Apply again; this is safe."
            )
        return stored == record

    def last(self, after: int = 0) -> int:
        keys = self._list(f"{self._prefix}_log/", self._commit_key(after))
        numbers = (key.removeprefix(f"{self._prefix}_log/").removesuffix(".json") for key in keys)
        return max([after, *(int(number) for number in numbers if number.isdecimal())])

    def checkpoint(self, upto: int = LAST) -> bytes | None:
        newer = self._checkpoint_key(upto + 1) if upto < LAST else f"{self._prefix}_checkpoints/"
        keys = self._list(f"{self._prefix}_checkpoints/", newer, 1)
        return self._get(keys[0]) if keys else None

    def keep(self, number: int, checkpoint: bytes) -> None:
        self._attempt(self._checkpoint_key(number), checkpoint, [])

    def _settle(self, key: str, record: bytes) -> bytes | None:
        """Put a record unless one exists; return the stored one, or `None` if unknown."""
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_random_exponential

        in_doubt: list[Exception] = []
        retrying = Retrying(
            retry=retry_if_result(lambda stored: stored is None),
            stop=stop_after_delay(self._deadline_seconds),
            wait=wait_random_exponential(self._first_pause_seconds, _LONGEST_PAUSE_SECONDS),
            retry_error_callback=lambda _: None,
        )
        try:
            return retrying(self._attempt, key, record, in_doubt)
        except StoreError:
            if in_doubt:  # an earlier attempt may still succeed
                return None
            raise

    def _attempt(self, key: str, record: bytes, in_doubt: list[Exception]) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._put(key, record)
        except ClientError as error:
            status = _status(error)
            if status == _UNSUPPORTED:
                raise self._unconditional() from error
            if status not in (_TAKEN, *_RETRY):
                raise self._failed("written", error) from error
            in_doubt.append(error)
        except BotoCoreError as error:
            in_doubt.append(error)
        else:
            return record
        try:
            return self._get(key)
        except StoreError:
            return None

    def _probe(self) -> None:
        """Check once that the object store supports `If-None-Match: *`."""
        if self._probed:
            return
        from botocore.exceptions import ClientError

        key, text = (
            self._commit_key(_PROBE),
            b"A commit log of feature_platform starts at number 1.",
        )
        for again in (b"", b" This line must never be stored."):
            try:
                with self._convert_errors("written", reraise=ClientError):
                    self._put(key, text + again)
            except ClientError as error:
                if _status(error) == _TAKEN:
                    self._probed = True
                    return
                if _status(error) == _UNSUPPORTED:
                    raise self._unconditional() from error
                raise self._failed("written", error) from error
        raise self._unconditional()

    def _put(self, key: str, content: bytes) -> None:
        options = {"ContentType": "application/json", "IfNoneMatch": "*"}
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content, **options)

    def _get(self, key: str) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError
        from tenacity import Retrying, retry_if_exception, stop_after_attempt
        from tenacity import wait_random_exponential as jitter

        retrying = Retrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(_READ_ATTEMPTS),
            wait=jitter(self._first_pause_seconds, _LONGEST_PAUSE_SECONDS),
            reraise=True,
        )
        try:
            return retrying(self._get_once, key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _ABSENT:
                return None
            raise self._failed("read", error) from error
        except BotoCoreError as error:
            raise self._failed("read", error) from error

    def _get_once(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body

    def _list(self, prefix: str, after: str, limit: int | None = None) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=prefix,
            StartAfter=after,
            PaginationConfig={"MaxItems": limit, "PageSize": min(limit or 1000, 1000)},
        )
        with self._convert_errors("read"):
            return sorted({entry["Key"] for page in pages for entry in page.get("Contents", ())})

    @contextmanager
    def _convert_errors(
        self, action: str, reraise: type[Exception] | None = None
    ) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            if reraise is not None and isinstance(error, reraise):
                raise
            raise self._failed(action, error) from error

    def _failed(self, action: str, error: Exception) -> StoreError:
        return StoreError(
            f"Registry {self} cannot be {action}: {error}. Check bucket, region and credentials."
        )

    def _unconditional(self) -> StoreError:
        return StoreError(
            f"Registry {self}: this object store does not support `If-None-Match: *`, so two "
            "writers could overwrite each other. Upgrade it, or use another registry backend."
        )

    def _commit_key(self, number: int) -> str:
        return f"{self._prefix}_log/{number:020d}.json"

    def _checkpoint_key(self, number: int) -> str:
        return f"{self._prefix}_checkpoints/{LAST - number:020d}.json"

    @property
    def _client(self) -> Any:
        return self._client_of.get()


def _default_client() -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=5,
        read_timeout=10,
        max_pool_connections=_READERS,
    )
    return boto3.client("s3", config=config)


def _is_transient(error: BaseException) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    if isinstance(error, ClientError):
        return _status(error) in _RETRY
    return isinstance(error, BotoCoreError) and not isinstance(error, NoCredentialsError)


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
