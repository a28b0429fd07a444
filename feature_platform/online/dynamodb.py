"""Online store in DynamoDB."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from feature_platform.errors import SchemaError, StoreError
from feature_platform.lazy import Lazy
from feature_platform.online.base import (
    MISSING,
    LedgerEntry,
    OnlineStore,
    StoredRecord,
    merge_ledger,
)
from feature_platform.online.codec import Layout, Record
from feature_platform.table import Table
from feature_platform.types.times import from_microseconds

_KEYS_PER_READ = 100
_MAX_CONCURRENT_CALLS = 16
_ATTEMPTS = 10
_MAX_BYTES = 400_000  # leaves room in an item of at most 400 KiB for names and times
_NEWER = "attribute_not_exists(k) OR e < :e OR (e = :e AND c <= :c)"
_UNCHANGED = "attribute_not_exists(loaded) OR loaded = :stored"
_ROW = b"r"  # DynamoDB rejects empty keys, which views without entities have
Item = Mapping[str, Any]
RowId = tuple[str, bytes]


class DynamoDBOnlineStore(OnlineStore):
    """Uses one on-demand table per view, created by the first write, and one for metadata.

    Tables are named `<project>.<view>.<hash of the join keys>`. Every write is conditional.
    `DynamoDBSettings` documents the arguments.
    """

    def __init__(
        self,
        region: str | None = None,
        endpoint_url: str | None = None,
        *,
        consistent_reads: bool = False,
    ) -> None:
        super().__init__()
        self._region = region
        self._endpoint = endpoint_url
        self._consistent = consistent_reads
        self._existing_tables: set[str] = set()
        self._lazy_client: Lazy[Any] = Lazy(self._connect, lambda client: client.close())
        self._workers = Lazy(_thread_pool, lambda pool: pool.shutdown())

    def expire(self, table: Table, before: int) -> int:
        if not self._has_table(table.identity):
            return 0
        older = {":before": {"N": str(before)}}
        with self._errors():
            condition = {"FilterExpression": "e < :before", "ExpressionAttributeValues": older}
            keys = self._scan_keys(table.identity, **condition)

        def remove(key: Item) -> bool:
            return self._write_if(
                "delete_item", table.identity, "e < :before", older, Key={"k": key}
            )

        return sum(self._map(remove, keys))

    def drop(self, table: Table) -> None:
        prefix = table.prefix
        with self._errors():
            pages = self._client.get_paginator("list_tables").paginate()
            for name in [name for page in pages for name in page["TableNames"]]:
                if name.startswith(prefix):
                    self._client.delete_table(TableName=name)
                    self._client.get_waiter("table_not_exists").wait(TableName=name)
                    self._existing_tables.discard(name)
            metadata = _metadata_table(table)
            for key in self._scan_keys(metadata) if self._has_table(metadata) else []:
                if key["B"].startswith(prefix.encode()):
                    self._client.delete_item(TableName=metadata, Key={"k": key})

    def close(self) -> None:
        self._lazy_client.close()
        self._workers.close()

    def _put(self, table: Table, records: Sequence[Record]) -> None:
        for record in records:
            if (size := len(record.key) + len(record.body)) > _MAX_BYTES:
                raise SchemaError(
                    f"Row of view {table.name!r} with event timestamp "
                    f"{from_microseconds(record.event).isoformat()} is {size:,} bytes long; "
                    f"the maximum in DynamoDB is {_MAX_BYTES:,}."
                )
        self._make(table.identity)

        def put(record: Record) -> bool:
            times = {":e": {"N": str(record.event)}, ":c": {"N": str(record.created)}}
            item = _item(record)
            return self._write_if("put_item", table.identity, _NEWER, times, Item=item)

        self._map(put, records)

    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord]]:
        existing = ((name, keys) for name, keys in reads if keys and self._has_table(name))
        row_ids = list(dict.fromkeys((name, key) for name, keys in existing for key in keys))
        chunks = [row_ids[n : n + _KEYS_PER_READ] for n in range(0, len(row_ids), _KEYS_PER_READ)]
        stored: dict[RowId, StoredRecord] = {}
        for records in self._map(self._read_chunk, chunks):
            stored |= records
        return [[stored.get((name, key), MISSING) for key in keys] for name, keys in reads]

    def _save_layout(self, table: Table) -> None:
        self._make(_metadata_table(table))
        item = {**_metadata_key(table.layout_id.hex()), "columns": {"S": json.dumps(table.layout)}}
        self._write_if("put_item", _metadata_table(table), "attribute_not_exists(k)", {}, Item=item)

    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        item = self._get_metadata(table, identity.hex())
        return json.loads(item["columns"]["S"]) if item else None

    def _ledger(self, table: Table) -> list[LedgerEntry]:
        return [LedgerEntry(*entry) for entry in json.loads(self._load_ledger(table))]

    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        def merge() -> bool:
            stored = self._load_ledger(table)
            merged = json.dumps(merge_ledger(json.loads(stored), new))
            item = {**_metadata_key(table.ledger), "loaded": {"S": merged}}
            values = {":stored": {"S": stored}}
            return self._write_if("put_item", metadata, _UNCHANGED, values, Item=item)

        metadata = _metadata_table(table)
        self._make(metadata)
        self._retry(merge, 0.05, max_wait=2)

    def _load_ledger(self, table: Table) -> str:
        exists = self._has_table(_metadata_table(table))
        item = self._get_metadata(table, table.ledger) if exists else {}
        return str(item["loaded"]["S"]) if item else "[]"

    def _get_metadata(self, table: Table, name: str) -> Item:
        with self._errors():
            response: dict[str, Item] = self._client.get_item(
                TableName=_metadata_table(table), Key=_metadata_key(name), ConsistentRead=True
            )
        return response.get("Item", {})

    def _scan_keys(self, name: str, **options: Any) -> list[Item]:
        pages = self._client.get_paginator("scan").paginate(
            TableName=name, ProjectionExpression="k", **options
        )
        return [item["k"] for page in pages for item in page["Items"]]

    def _read_chunk(self, row_ids: Sequence[RowId]) -> dict[RowId, StoredRecord]:
        """Read up to 100 rows of any tables, with retries of the keys that DynamoDB skips."""
        remaining: dict[str, Any] = {}
        for name, key in row_ids:
            default = {"Keys": [], "ConsistentRead": self._consistent}
            remaining.setdefault(name, default)["Keys"].append({"k": {"B": _ROW + key}})
        stored: dict[RowId, StoredRecord] = {}

        def read() -> bool:
            nonlocal remaining
            with self._errors():
                response = self._client.batch_get_item(RequestItems=remaining)
            for name, items in response["Responses"].items():
                stored.update({(name, item["k"]["B"][1:]): _stored_record(item) for item in items})
            remaining = response.get("UnprocessedKeys") or {}
            return not remaining

        self._retry(read, 0.02, max_wait=1)
        return stored

    def _retry(self, attempt: Callable[[], bool], wait: float, max_wait: float) -> None:
        """Repeat an attempt until it returns true."""
        from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

        def fail(_: object) -> None:
            raise StoreError(
                f"{self}: {_ATTEMPTS} attempts failed because the table is busy. Try again later."
            )

        Retrying(
            retry=retry_if_result(lambda succeeded: not succeeded),
            wait=wait_random_exponential(wait, max=max_wait),
            stop=stop_after_attempt(_ATTEMPTS),
            retry_error_callback=fail,
        )(attempt)

    def _write_if(
        self, operation: str, name: str, condition: str, values: Item, **options: Any
    ) -> bool:
        """Put or delete an item if a condition is true, and return whether it was."""
        if values:
            options["ExpressionAttributeValues"] = values
        with self._errors():
            try:
                write = getattr(self._client, operation)
                write(TableName=name, ConditionExpression=condition, **options)
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def _has_table(self, name: str) -> bool:
        if name not in self._existing_tables:
            with self._errors():
                try:
                    status = self._client.describe_table(TableName=name)["Table"]["TableStatus"]
                except self._client.exceptions.ResourceNotFoundException:
                    return False
            if status == "CREATING":
                return False
            self._existing_tables.add(name)
        return True

    def _make(self, name: str) -> None:
        if self._has_table(name):
            return
        with self._errors():
            with suppress(self._client.exceptions.ResourceInUseException):  # it is being created
                self._client.create_table(
                    TableName=name,
                    KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                    AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "B"}],
                    BillingMode="PAY_PER_REQUEST",
                )
            self._client.get_waiter("table_exists").wait(TableName=name)
        self._existing_tables.add(name)

    def _map(self, call: Any, items: Iterable[Any]) -> list[Any]:
        items = list(items)
        return [call(items[0])] if len(items) == 1 else list(self._workers.get().map(call, items))

    @property
    def _client(self) -> Any:
        return self._lazy_client.get()

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
        return boto3.client(
            "dynamodb",
            region_name=self._region,
            endpoint_url=self._endpoint,
            config=Config(retries=retries, max_pool_connections=_MAX_CONCURRENT_CALLS),
        )

    def __str__(self) -> str:
        return f"DynamoDB online store in {self._region or 'the default region'}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            self._existing_tables.clear()  # a table may have been dropped
            raise StoreError(f"{self}: {error}.") from error


def _thread_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MAX_CONCURRENT_CALLS, thread_name_prefix="dynamodb")


def _metadata_table(table: Table) -> str:
    """Return the table of layouts and ledgers; tables of views have two dots in their names."""
    return f"{table.project}.feature_platform"


def _metadata_key(name: str) -> dict[str, Any]:
    return {"k": {"B": name.encode()}}


def _item(record: Record) -> Item:
    return {
        "k": {"B": _ROW + record.key},
        "e": {"N": str(record.event)},
        "c": {"N": str(record.created)},
        "v": {"B": record.layout + record.body},
    }


def _stored_record(item: Item) -> StoredRecord:
    value = item["v"]["B"]
    return int(item["e"]["N"]), value[:6], value[6:]
