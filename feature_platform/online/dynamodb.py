"""Online store in DynamoDB."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from feature_platform.errors import SchemaError, StoreError
from feature_platform.lazy import Lazy
from feature_platform.online.base import LedgerEntry, OnlineStore, StoredRecord, merge_ledger
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


class DynamoDBOnlineStore(OnlineStore):
    """Uses one on-demand table per view, created by the first write, and one for metadata.

    Tables are named `<project>.<view>.<hash of the join keys>`. Every write is conditional.
    Credentials come from boto3's default chain.

    Args:
        region: AWS region; boto3's default if omitted.
        endpoint_url: Alternative endpoint, such as an emulator.
        consistent_reads: Whether to use strongly consistent reads.
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
            pages = self._client.get_paginator("scan").paginate(
                TableName=table.identity,
                FilterExpression="e < :before",
                ExpressionAttributeValues=older,
                ProjectionExpression="k",
            )
            keys = [item["k"] for page in pages for item in page["Items"]]
        return sum(self._map(lambda key: self._remove(table.identity, key, older), keys))

    def drop(self, table: Table) -> None:
        prefix = f"{table.project}.{table.name}."
        with self._errors():
            pages = self._client.get_paginator("list_tables").paginate()
            for name in [name for page in pages for name in page["TableNames"]]:
                if name.startswith(prefix):
                    self._client.delete_table(TableName=name)
                    self._client.get_waiter("table_not_exists").wait(TableName=name)
                    self._existing_tables.discard(name)
            metadata = _metadata_table(table)
            if self._has_table(metadata):
                pages = self._client.get_paginator("scan").paginate(TableName=metadata)
                for key in [item["k"] for page in pages for item in page["Items"]]:
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
            return self._put_if(table.identity, _item(record), _NEWER, times)

        self._map(put, records)

    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord | None]]:
        existing = ((name, keys) for name, keys in reads if self._has_table(name))
        pairs = list(dict.fromkeys((name, key) for name, keys in existing for key in keys))
        chunks = [pairs[n : n + _KEYS_PER_READ] for n in range(0, len(pairs), _KEYS_PER_READ)]
        stored: dict[tuple[str, bytes], StoredRecord] = {}
        for records in self._map(self._read_chunk, chunks):
            stored |= records
        return [[stored.get((name, key)) for key in keys] for name, keys in reads]

    def _save_layout(self, table: Table) -> None:
        self._make(_metadata_table(table))
        item = {**_metadata_key(table.layout_id.hex()), "columns": {"S": json.dumps(table.layout)}}
        self._put_if(_metadata_table(table), item, "attribute_not_exists(k)", {})

    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        with self._errors():
            response = self._client.get_item(
                TableName=_metadata_table(table),
                Key=_metadata_key(identity.hex()),
                ConsistentRead=True,
            )
        return json.loads(response["Item"]["columns"]["S"]) if "Item" in response else None

    def _ledger(self, table: Table) -> list[LedgerEntry]:
        return [LedgerEntry(*entry) for entry in json.loads(self._load_ledger(table))]

    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

        def attempt() -> bool:
            stored = self._load_ledger(table)
            merged = json.dumps(merge_ledger(json.loads(stored), new))
            item = {**_metadata_key(table.ledger), "loaded": {"S": merged}}
            return self._put_if(
                _metadata_table(table), item, _UNCHANGED, {":stored": {"S": stored}}
            )

        self._make(_metadata_table(table))
        Retrying(
            retry=retry_if_result(lambda stored: not stored),
            wait=wait_random_exponential(0.05, max=2),
            stop=stop_after_attempt(_ATTEMPTS),
            retry_error_callback=self._busy,
        )(attempt)

    def _load_ledger(self, table: Table) -> str:
        if not self._has_table(_metadata_table(table)):
            return "[]"
        with self._errors():
            response = self._client.get_item(
                TableName=_metadata_table(table),
                Key=_metadata_key(table.ledger),
                ConsistentRead=True,
            )
        return str(response.get("Item", {}).get("loaded", {"S": "[]"})["S"])

    def _read_chunk(
        self, pairs: Sequence[tuple[str, bytes]]
    ) -> dict[tuple[str, bytes], StoredRecord]:
        """Read up to 100 rows of any tables, with retries of the keys that DynamoDB skips."""
        from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

        remaining: dict[str, Any] = {}
        for name, key in pairs:
            default = {"Keys": [], "ConsistentRead": self._consistent}
            remaining.setdefault(name, default)["Keys"].append({"k": {"B": _ROW + key}})
        stored: dict[tuple[str, bytes], StoredRecord] = {}

        def attempt() -> dict[str, Any]:
            nonlocal remaining
            with self._errors():
                response = self._client.batch_get_item(RequestItems=remaining)
            for name, items in response["Responses"].items():
                stored.update({(name, item["k"]["B"][1:]): _stored_record(item) for item in items})
            remaining = response.get("UnprocessedKeys") or {}
            return remaining

        Retrying(
            retry=retry_if_result(bool),
            wait=wait_random_exponential(0.02, max=1),
            stop=stop_after_attempt(_ATTEMPTS),
            retry_error_callback=self._busy,
        )(attempt)
        return stored

    def _put_if(self, name: str, item: Item, condition: str, values: Item) -> bool:
        """Write an item if a condition is true, and return whether it was."""
        options = {"ExpressionAttributeValues": values} if values else {}
        with self._errors():
            try:
                self._client.put_item(
                    TableName=name, Item=item, ConditionExpression=condition, **options
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def _remove(self, name: str, key: Item, older: Item) -> bool:
        with self._errors():
            try:
                self._client.delete_item(
                    TableName=name,
                    Key={"k": key},
                    ConditionExpression="e < :before",
                    ExpressionAttributeValues=older,
                )
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
            with suppress(
                self._client.exceptions.ResourceInUseException
            ):  # another process creates it
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

    def _busy(self, _: Any) -> Any:
        raise StoreError(
            f"{self}: {_ATTEMPTS} attempts failed because the table is busy. Try again later."
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
    return StoredRecord(int(item["e"]["N"]), value[:6], value[6:])
