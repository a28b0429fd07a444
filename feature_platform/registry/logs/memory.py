"""Log in memory, for tests and notebooks."""

from threading import Lock

from feature_platform.registry.logs.base import LAST, CommitLog


class MemoryLog(CommitLog):
    """A log without persistence."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._checkpoints: dict[int, bytes] = {}
        self._lock = Lock()

    def __str__(self) -> str:
        return f"memory:{id(self):x}"

    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        return self._records[after:][:limit]

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        with self._lock:
            if number == len(self._records) + 1:
                self._records.append(record)
            return self._records[number - 1 : number] == [record]

    def last(self, after: int = 0) -> int:
        return max(after, len(self._records))

    def checkpoint(self, upto: int = LAST) -> bytes | None:
        newest = max((number for number in self._checkpoints if number <= upto), default=0)
        return self._checkpoints.get(newest)

    def keep(self, number: int, checkpoint: bytes) -> None:
        self._checkpoints.setdefault(number, checkpoint)
