"""What only the S3 log does: conditions, answers that get lost, and stores that are not S3."""

from typing import Any

import pytest
from tests_support import assert_names, raises

from feature_platform.errors import StoreError, UnknownOutcomeError
from feature_platform.registry.logs.s3 import S3Log

QUICK = {"deadline_seconds": 0.3, "first_pause_seconds": 0.001}


def test_a_missing_bucket_is_named(s3: Any) -> None:
    with raises(StoreError, "s3://no-such-bucket/x/", "NoSuchBucket"):
        S3Log("no-such-bucket", "x").read(0)


def failing(status: int, code: str) -> Exception:
    from botocore.exceptions import ClientError

    meta = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(meta, "PutObject")


def lost() -> Exception:
    from botocore.exceptions import ReadTimeoutError

    return ReadTimeoutError(endpoint_url="http://s3")


class Wrapped:
    """An S3 client with a plan for its first puts of commits: what to raise, and if to store."""

    def __init__(self, client: Any, *plan: tuple[Exception, bool]) -> None:
        self._client, self._plan, self.puts = client, list(plan), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **arguments: Any) -> Any:
        if arguments["Key"].endswith("0" * 20 + ".json"):
            return self._client.put_object(**arguments)
        self.puts += 1
        if not self._plan:
            return self._client.put_object(**arguments)
        error, stores = self._plan.pop(0)
        if stores:
            self._client.put_object(**arguments)
        raise error


@pytest.mark.parametrize(
    ("error", "stores", "puts"),
    [
        (lost(), True, 1),
        (lost(), False, 2),
        (failing(409, "ConditionalRequestConflict"), False, 2),
        (failing(412, "PreconditionFailed"), True, 1),  # the SDK repeated its own put
        (failing(500, "InternalError"), True, 1),
        (failing(503, "SlowDown"), False, 2),
    ],
)
def test_an_outcome_in_doubt_is_settled_by_what_is_stored(
    s3: Any,
    bucket: str,
    error: Exception,
    stores: bool,
    puts: int,
) -> None:
    client = Wrapped(s3, (error, stores))

    assert S3Log(bucket, "a", client, **QUICK).append(1, "id", b"mine")
    assert client.puts == puts
    assert S3Log(bucket, "a", s3).read(0) == [b"mine"]


def test_an_outcome_nobody_knows_is_said_to_be_unknown(s3: Any, bucket: str) -> None:
    client = Wrapped(s3, *[(lost(), False)] * 1000)

    with raises(UnknownOutcomeError, f"s3://{bucket}/a/") as caught:
        S3Log(bucket, "a", client, **QUICK).append(1, "id1", b"mine")
    assert_names(caught.value, "id1", 1)
    assert S3Log(bucket, "a", s3).append(1, "id1", b"mine")


def test_a_refusal_is_told_with_what_s3_said(s3: Any, bucket: str) -> None:
    client = Wrapped(s3, (failing(403, "AccessDenied"), False))

    with raises(StoreError, f"s3://{bucket}/a/", "AccessDenied", "PutObject"):
        S3Log(bucket, "a", client, **QUICK).append(1, "id", b"mine")


class Flaky(Wrapped):
    """A client whose reads fail so many times before one succeeds."""

    failures = 0

    def get_object(self, **arguments: Any) -> Any:
        self.failures -= 1
        if self.failures >= 0:
            raise lost() if self.failures % 2 else failing(503, "SlowDown")
        return self._client.get_object(**arguments)


def test_reads_are_repeated_when_s3_is_not_well(s3: Any, bucket: str) -> None:
    client = Flaky(s3)
    log = S3Log(bucket, "a", client, **QUICK)
    log.append(1, "id", b"mine")

    client.failures = 5
    assert log.read(0) == [b"mine"]
    client.failures = 6
    with raises(StoreError, f"s3://{bucket}/a/"):
        log.read(0)
    assert client.failures == 0  # every attempt was made


@pytest.mark.parametrize("answer", ["ignores", "refuses"])
def test_a_store_without_conditions_is_refused(s3: Any, bucket: str, answer: str) -> None:
    class Ignoring(Wrapped):
        def put_object(self, IfNoneMatch: str, **arguments: Any) -> Any:  # noqa: N803
            if answer == "refuses":
                raise failing(501, "NotImplemented")
            return self._client.put_object(**arguments)

    with raises(StoreError, f"s3://{bucket}/a/", "If-None-Match"):
        S3Log(bucket, "a", Ignoring(s3)).append(1, "id", b"mine")
    assert S3Log(bucket, "a", s3).read(0) == []


def test_nothing_in_the_bucket_is_ever_overwritten(s3: Any, bucket: str) -> None:
    puts = []

    class Watched(Wrapped):
        def put_object(self, **arguments: Any) -> Any:
            puts.append((arguments["Key"], arguments.get("IfNoneMatch")))
            return self._client.put_object(**arguments)

    log = S3Log(bucket, "a", Watched(s3))
    log.append(1, "x", b"first")
    log.append(1, "y", b"second")
    log.keep(1, b"state")

    assert {condition for _, condition in puts} == {"*"}
    assert len(puts) == 5  # two for the probe
    assert puts[0][0] == puts[1][0] == "a/_log/00000000000000000000.json"
