"""Outcomes in doubt: answers lost, writes that land late, conflicts, refusals of one's own write.

Each writer adds operations to a log by itself, below the registry, which would notice what went
twice: here the log has to be right alone.
"""

import threading
import uuid
from collections import Counter
from typing import Any

from feature_platform.errors import StoreError, UnknownOutcomeError
from feature_platform.registry.logs.s3 import S3Log
from reliability.fake_s3 import FAULTS, FakeS3
from reliability.lossy_server import FAULTS as HTTP_FAULTS
from reliability.lossy_server import serve
from reliability.rows import Row, Tried, measured

WRITERS = 8


class Naive(S3Log):
    """Takes every failure for a failure, and tries the next number."""

    def _attempt(self, key: str, record: bytes, in_doubt: list[Exception]) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._put(key, record)
        except (BotoCoreError, ClientError):
            return b"somebody else's"
        return record


class Tally:
    """What writers were told, to be compared with what is stored."""

    def __init__(self) -> None:
        self.acked: dict[bytes, int] = {}
        self.unknown: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.errors: list[Exception] = []

    def problems(self, records: list[bytes], last: int) -> list[str]:
        counts = Counter(records)
        found = [f"{record!r} is stored {n} times" for record, n in counts.items() if n > 1]
        found += [f"{r!r} is lost" for r, n in self.acked.items() if records[n - 1 : n] != [r]]
        found += [f"{r!r} was refused and landed" for r in self.refused if counts[r]]
        told = self.acked.keys() | self.unknown
        found += [f"a writer gave up: {error}" for error in self.errors]
        found += [f"{r!r} came from nowhere" for r in counts if r not in told]
        return found + (["a number was left out"] if last > len(records) else [])


def write(log: S3Log, tally: Tally, enough: Any) -> None:
    newest = 0
    while not enough():
        record = uuid.uuid4().hex.encode()
        while True:
            try:
                number = log.last(newest) + 1
                while log.read(number - 1, 1):  # a listing may be behind
                    number += 1
                newest = number - 1
                landed = log.append(number, record.decode(), record)
            except UnknownOutcomeError:
                tally.unknown.add(record)
                break
            except StoreError:
                tally.refused.add(record)
                break
            if landed:
                tally.acked[record] = number
                break


def run(kind: type[S3Log], client: Any, enough: Any, *, bucket: str = "b") -> Tally:
    tally = Tally()
    quick = {"deadline_seconds": 2.0, "first_pause_seconds": 0.0005}

    def writer() -> None:
        try:
            write(kind(bucket, "p", client, **quick), tally, enough)
        except Exception as error:  # noqa: BLE001 - a thread's error would only be printed
            tally.errors.append(error)

    threads = [threading.Thread(target=writer) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def enough_of(faults: Counter[str], kinds: tuple[str, ...], outcomes: int) -> dict[str, Tried]:
    """Say how many outcomes were in doubt, and that it was for all kinds of reasons."""
    rarest = min(faults[kind] for kind in kinds)
    eighth = outcomes // len(kinds) // 8  # of what each kind has on average
    some = sum(faults[kind] > 0 for kind in kinds)
    return {
        "outcomes in doubt": Tried(sum(faults[kind] for kind in kinds), outcomes),
        **({"of the rarest kind": Tried(rarest, eighth)} if eighth else {}),
        "kinds of them": Tried(some, len(kinds) if eighth else len(kinds) // 2),
    }


def on_fake(kind: type[S3Log], outcomes: int, seed: int) -> tuple[FakeS3, list[str], Tally]:
    fake = FakeS3(seed, share=0.5)
    tally = run(kind, fake, lambda: fake.faults.total() - fake.faults["read"] >= outcomes)
    fake.settle()
    log = S3Log("b", "p", fake)
    return fake, tally.problems(log.read(0), log.last()), tally


def fake_row(outcomes: int, seed: int) -> Row:
    """10,000 outcomes in doubt on the seeded fake."""
    with measured() as clock:
        fake, problems, tally = on_fake(S3Log, outcomes, seed)
        _, naive, naively = on_fake(Naive, min(outcomes, 1000), seed)
    faults = ", ".join(f"{name} {count:,}" for name, count in sorted(fake.faults.items()))
    return Row(
        name="outcomes in doubt, fake S3",
        tried={
            **enough_of(fake.faults, FAULTS, outcomes),
            "commits": Tried(len(tally.acked), outcomes // 2),
        },
        bad=len(problems),
        detail=f"{problems[0] if problems else f'{len(tally.unknown)} unknown'}; {faults}",
        controls={"takes failures for failures": bool(naively.acked) and bool(naive)},
        control_detail=f"{len(naive):,} problems",
        seconds=clock.seconds,
    )


def boto(address: str, attempts: int) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": attempts}, connect_timeout=5, max_pool_connections=32
    )
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("s3", endpoint_url=address, region_name="us-east-1", config=config, **keys)


def on_server(
    kind: type[S3Log], outcomes: int, seed: int, attempts: int
) -> tuple[Counter[str], list[str], Tally]:
    with serve(seed, share=0.3) as (server, address):
        client = boto(address, attempts)
        bucket = f"b{uuid.uuid4().hex[:8]}"
        client.create_bucket(Bucket=bucket)
        tally = run(kind, client, lambda: server.faults.total() >= outcomes, bucket=bucket)
        server.share = 0.0
        log = S3Log(bucket, "p", client)
        return server.faults, tally.problems(log.read(0), log.last()), tally


def server_row(outcomes: int, seed: int) -> Row:
    """200 outcomes in doubt with the real client, its own retries off and on."""
    with measured() as clock:
        faults, problems, tally = on_server(S3Log, outcomes, seed, attempts=1)
        retried, retrying, patient = on_server(S3Log, outcomes, seed + 1, attempts=3)
        _, naive, naively = on_server(Naive, max(outcomes, 30), seed, attempts=1)
    problems += retrying
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(faults.items()))
    return Row(
        name="outcomes in doubt, boto3 over HTTP",
        tried={
            **enough_of(faults, HTTP_FAULTS, outcomes),
            "commits": Tried(len(tally.acked), outcomes // 2),
            "outcomes in doubt with the SDK's own retries": Tried(retried.total(), outcomes),
            "commits with these": Tried(len(patient.acked), outcomes // 2),
        },
        bad=len(problems),
        detail=f"{problems[0] if problems else 'none wrong'}; {told}",
        controls={"takes failures for failures": bool(naively.acked) and bool(naive)},
        control_detail=f"{len(naive):,} problems",
        seconds=clock.seconds,
    )
