"""An S3 client that is as unkind as S3 may be, and always in the same way for one seed."""

import io
import random
import threading
from collections import Counter
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

FAULTS = ("lost answer", "late landing", "409", "own 412", "503", "500 stored")


class FakeS3:
    """Objects in memory; writes are conditional; a share of the calls goes wrong.

    Args:
        seed: What goes wrong.
        share: How often a write does.
        conditional: Whether `IfNoneMatch` is honoured; a store that ignores it is a seeded bug.
    """

    def __init__(self, seed: int, share: float = 0.2, *, conditional: bool = True) -> None:
        self._choose = random.Random(seed)
        self._share, self._conditional = share, conditional
        self._objects: dict[str, bytes] = {}
        self._late: list[tuple[int, str, bytes]] = []
        self._lock = threading.RLock()
        self.faults: Counter[str] = Counter()

    def put_object(self, *, Key: str, Body: bytes, IfNoneMatch: str = "", **_: Any) -> Any:  # noqa: N803
        with self._lock:
            self._land()
            fault = ""
            if "_log/" in Key and not Key.endswith("0" * 20 + ".json"):
                fault = self._choose.choice(FAULTS) if self._choose.random() < self._share else ""
            if fault:
                self.faults[fault] += 1
            if fault == "409":
                raise _error(409, "ConditionalRequestConflict")
            if fault == "503":
                raise _error(503, "SlowDown")
            if fault == "late landing":
                self._late.append((self._choose.randint(1, 60), Key, Body))
                raise ReadTimeoutError(endpoint_url="fake")
            stored = not (self._conditional and IfNoneMatch and Key in self._objects)
            if stored:
                self._objects[Key] = Body
            if fault == "lost answer":
                raise ReadTimeoutError(endpoint_url="fake")
            if fault == "500 stored":
                raise _error(500, "InternalError")
            if fault == "own 412" or not stored:
                raise _error(412, "PreconditionFailed")
            return {}

    def get_object(self, *, Key: str, **_: Any) -> Any:  # noqa: N803
        with self._lock:
            self._land()
            if self._choose.random() < self._share / 10:
                self.faults["read"] += 1
                raise _error(500, "InternalError")
            if Key not in self._objects:
                raise _error(404, "NoSuchKey")
            return {"Body": io.BytesIO(self._objects[Key])}

    def get_paginator(self, _: str) -> "FakeS3":
        return self

    def paginate(self, *, Prefix: str, StartAfter: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803
        """List twice what is there, in any order, and not always the newest."""
        with self._lock:
            keys = [k for k in self._objects if k.startswith(Prefix) and k > StartAfter]
            if keys and self._choose.random() < self._share:
                keys.remove(max(keys))
            listed = keys * 2
            self._choose.shuffle(listed)
            return [{"Contents": [{"Key": key} for key in listed]}]

    def settle(self) -> None:
        """Let everything land that is still on its way."""
        with self._lock:
            self._share = 0.0
            while self._late:
                self._land()

    def _land(self) -> None:
        self._late = [(wait - 1, key, body) for wait, key, body in self._late]
        for wait, key, body in self._late:
            if wait <= 0 and not (self._conditional and key in self._objects):
                self._objects[key] = body
        self._late = [late for late in self._late if late[0] > 0]


def _error(status: int, code: str) -> ClientError:
    meta = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(meta, "PutObject")
