"""A log in memory, for tests and notebooks."""

from feature_platform.registry.logs.base import CommitLog


class MemoryLog(CommitLog):
    def __init__(self) -> None:
        self._records: list[bytes] = []

    def read(self, after: int) -> list[bytes]:
        return self._records[after:]

    def append(self, number: int, record: bytes) -> bool:
        free = number == len(self._records) + 1
        if free:
            self._records.append(record)
        return free
