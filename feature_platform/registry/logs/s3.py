"""Log in an S3 bucket, with one object per commit."""

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
_FEW = 16
_READ_ATTEMPTS = 6
_PROBE = 0
_ABSENT = {"NoSuchKey", "404"}
_TAKEN = 412
_UNSUPPORTED = 501
_RETRY = (409, 500, 502, 503, 504)


class S3Log(CommitLog):
    """Objects `<prefix>/_log/<20 digits>.json`, written with `If-None-Match: *`.

    The SDK should not repeat a write by itself: its second attempt takes our own first one for
    somebody else's. Here an attempt is only settled by what is stored under its number: an answer
    that was lost, a conflict (409) and a refusal (412) are all looked up, and the same bytes are
    sent to the same number again until it is known to be taken. No other number is tried before.

    Checkpoints are objects that sort newest first, so one listing finds the newest, and nothing in
    the bucket is ever overwritten.

    Args:
        bucket: Name of the bucket.
        prefix: What the log's keys start with.
        client: A boto3 S3 client; made from the environment (region, credentials,
            `AWS_ENDPOINT_URL`) at the first call if left out.
        deadline_seconds: Timeout for the outcome of one write.
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
        """Read `s3://bucket/prefix`.

        Raises:
            ConfigError: The URL names no bucket.
        """
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError(f"registry: {url!r} names no bucket; write s3://bucket/prefix.")
        return cls(bucket, prefix.strip("/"), client)

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        last = LAST if limit is None else after + limit
        records: list[bytes] = []
        with ThreadPoolExecutor(_READERS) as pool:
            while (first := after + len(records) + 1) <= last:
                # Most reads find a few records or none; a long log is read many at a time.
                ahead = min(1 if len(records) < _FEW else _READERS, last - first + 1)
                keys = [self._commit(number) for number in range(first, first + ahead)]
                found = [self._get(keys[0])] if ahead == 1 else pool.map(self._get, keys)
                present = list(takewhile(lambda record: record is not None, found))
                records += cast("list[bytes]", present)
                if len(present) < ahead:
                    break
        return records

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        self._probe()
        if number > 1 and self._get(self._commit(number - 1)) is None:
            return False
        stored = self._settle(self._commit(number), record)
        if stored is None:
            raise UnknownOutcomeError(
                f"Registry {self} did not confirm whether commit {commit_id} was stored as number "
                f"{number}. Apply again; a commit that was stored is recognized."
            )
        return stored == record

    def last(self, after: int = 0) -> int:
        keys = self._list(f"{self._prefix}_log/", self._commit(after))
        numbers = (key.removeprefix(f"{self._prefix}_log/").removesuffix(".json") for key in keys)
        return max([after, *(int(number) for number in numbers if number.isdecimal())])

    def checkpoint(self, upto: int = LAST) -> bytes | None:
        newer = self._checkpoint(upto + 1) if upto < LAST else f"{self._prefix}_checkpoints/"
        keys = self._list(f"{self._prefix}_checkpoints/", newer, 1)
        return self._get(keys[0]) if keys else None

    def keep(self, number: int, checkpoint: bytes) -> None:
        self._attempt(self._checkpoint(number), checkpoint, [])

    def _settle(self, key: str, record: bytes) -> bytes | None:
        """Put a record where none is; return what is stored then, or `None` if nobody knows."""
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
            if in_doubt:  # a refusal now says nothing of an earlier attempt, which may yet land
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
        """Make sure, once, that the store honours the condition that all of this rests on."""
        if self._probed:
            return
        from botocore.exceptions import ClientError

        key, text = self._commit(_PROBE), b"A commit log of feature_platform starts at number 1."
        for again in (b"", b" This line must never be stored."):
            try:
                with self._failing("written", reraise=ClientError):
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
        self._client.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=content,
            ContentType="application/json",
            IfNoneMatch="*",
        )

    def _get(self, key: str) -> bytes | None:
        """Read an object; unlike writes, reads are simply repeated when S3 is not well."""
        from botocore.exceptions import BotoCoreError, ClientError
        from tenacity import Retrying, retry_if_exception, stop_after_attempt
        from tenacity import wait_random_exponential as jitter

        retrying = Retrying(
            retry=retry_if_exception(_is_passing),
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
        with self._failing("read"):
            return sorted({entry["Key"] for page in pages for entry in page.get("Contents", ())})

    @contextmanager
    def _failing(self, what: str, reraise: type[Exception] | None = None) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            if reraise is not None and isinstance(error, reraise):
                raise
            raise self._failed(what, error) from error

    def _failed(self, what: str, error: Exception) -> StoreError:
        return StoreError(
            f"Registry {self} cannot be {what}: {error}. Check the bucket, the region and the "
            "credentials."
        )

    def _unconditional(self) -> StoreError:
        return StoreError(
            f"Registry {self}: this object store ignores `If-None-Match: *` or does not know it, "
            "so two writers could overwrite each other. Update it, or use another kind of registry."
        )

    def _commit(self, number: int) -> str:
        return f"{self._prefix}_log/{number:020d}.json"

    def _checkpoint(self, number: int) -> str:
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


def _is_passing(error: BaseException) -> bool:
    """Say whether an error may be gone a moment later."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    if isinstance(error, ClientError):
        return _status(error) in _RETRY
    return isinstance(error, BotoCoreError) and not isinstance(error, NoCredentialsError)


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
