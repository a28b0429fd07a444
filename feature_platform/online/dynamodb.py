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
_CALLS_AT_ONCE = 16
_ATTEMPTS = 10
_MOST_BYTES = 400_000  # of the 400 KiB that an item may have, names and times included
_NEWER = "attribute_not_exists(k) OR e < :e OR (e = :e AND c <= :c)"
_UNCHANGED = "attribute_not_exists(loaded) OR loaded = :held"
_ROW = b"r"  # keys may not be empty, and those of views without entities are
Item = Mapping[str, Any]


class DynamoDBOnlineStore(OnlineStore):
    """One on-demand table per view, created by the first write, and one for the project's ledger.

    Tables are named `<project>.<view>.<digest of its keys>`. Every write is conditional.
    Credentials come from boto3's default chain.

    Args:
        region: AWS region; boto3's default if left out.
        endpoint_url: Another endpoint, such as an emulator's.
        consistent_reads: Use strongly consistent reads.
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
        self._exists: set[str] = set()
        self._lazy_client: Lazy[Any] = Lazy(self._connect, lambda client: client.close())
        self._workers = Lazy(_thread_pool, lambda pool: pool.shutdown())

    def expire(self, table: Table, before: int) -> int:
        if not self._is_there(table.identity):
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
        return sum(self._each(lambda key: self._remove(table.identity, key, older), keys))

    def drop(self, table: Table) -> None:
        prefix = f"{table.project}.{table.name}."
        with self._errors():
            pages = self._client.get_paginator("list_tables").paginate()
            for name in [name for page in pages for name in page["TableNames"]]:
                if name.startswith(prefix):
                    self._client.delete_table(TableName=name)
                    self._client.get_waiter("table_not_exists").wait(TableName=name)
                    self._exists.discard(name)
            if self._is_there(_notes(table)):
                pages = self._client.get_paginator("scan").paginate(TableName=_notes(table))
                for note in [item for page in pages for item in page["Items"]]:
                    if note["k"]["B"].startswith(prefix.encode()):
                        self._client.delete_item(TableName=_notes(table), Key={"k": note["k"]})

    def close(self) -> None:
        self._lazy_client.close()
        self._workers.close()

    def _put(self, table: Table, records: Sequence[Record]) -> None:
        for record in records:
            if (size := len(record.key) + len(record.body)) > _MOST_BYTES:
                raise SchemaError(
                    f"A row of view {table.name!r}, observed at "
                    f"{from_microseconds(record.event).isoformat()}, takes {size:,} bytes; "
                    f"DynamoDB stores at most {_MOST_BYTES:,}."
                )
        self._make(table.identity)

        def put(record: Record) -> bool:
            when = {":e": {"N": str(record.event)}, ":c": {"N": str(record.created)}}
            return self._put_if(table.identity, _item(record), _NEWER, when)

        self._each(put, records)

    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord | None]]:
        wanted = {(name, key): None for name, keys in reads for key in keys if self._is_there(name)}
        pairs = list(wanted)
        chunks = [pairs[n : n + _KEYS_PER_READ] for n in range(0, len(pairs), _KEYS_PER_READ)]
        held: dict[tuple[str, bytes], StoredRecord] = {}
        for found in self._each(self._read_chunk, chunks):
            held |= found
        return [[held.get((name, key)) for key in keys] for name, keys in reads]

    def _save_layout(self, table: Table) -> None:
        self._make(_notes(table))
        item = {**_note(table.layout_id.hex()), "columns": {"S": json.dumps(table.layout)}}
        self._put_if(_notes(table), item, "attribute_not_exists(k)", {})

    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        with self._errors():
            answer = self._client.get_item(
                TableName=_notes(table), Key=_note(identity.hex()), ConsistentRead=True
            )
        return json.loads(answer["Item"]["columns"]["S"]) if "Item" in answer else None

    def _ledger(self, table: Table) -> list[LedgerEntry]:
        return [LedgerEntry(*entry) for entry in json.loads(self._loaded(table))]

    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

        def attempt() -> bool:
            held = self._loaded(table)
            after = json.dumps(merge_ledger(json.loads(held), new))
            item = {**_note(table.ledger), "loaded": {"S": after}}
            return self._put_if(_notes(table), item, _UNCHANGED, {":held": {"S": held}})

        self._make(_notes(table))
        Retrying(
            retry=retry_if_result(lambda stored: not stored),
            wait=wait_random_exponential(0.05, max=2),
            stop=stop_after_attempt(_ATTEMPTS),
            retry_error_callback=self._busy,
        )(attempt)

    def _loaded(self, table: Table) -> str:
        if not self._is_there(_notes(table)):
            return "[]"
        with self._errors():
            answer = self._client.get_item(
                TableName=_notes(table), Key=_note(table.ledger), ConsistentRead=True
            )
        return str(answer.get("Item", {}).get("loaded", {"S": "[]"})["S"])

    def _read_chunk(
        self, pairs: Sequence[tuple[str, bytes]]
    ) -> dict[tuple[str, bytes], StoredRecord]:
        """Read up to 100 rows of any tables; unprocessed keys are requested again."""
        from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

        asked: dict[str, Any] = {}
        for name, key in pairs:
            default = {"Keys": [], "ConsistentRead": self._consistent}
            asked.setdefault(name, default)["Keys"].append({"k": {"B": _ROW + key}})
        found: dict[tuple[str, bytes], StoredRecord] = {}

        def attempt() -> dict[str, Any]:
            nonlocal asked
            with self._errors():
                answer = self._client.batch_get_item(RequestItems=asked)
            for name, items in answer["Responses"].items():
                found.update({(name, item["k"]["B"][1:]): _found(item) for item in items})
            asked = answer.get("UnprocessedKeys") or {}
            return asked

        Retrying(
            retry=retry_if_result(bool),
            wait=wait_random_exponential(0.02, max=1),
            stop=stop_after_attempt(_ATTEMPTS),
            retry_error_callback=self._busy,
        )(attempt)
        return found

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

    def _is_there(self, name: str) -> bool:
        if name not in self._exists:
            with self._errors():
                try:
                    status = self._client.describe_table(TableName=name)["Table"]["TableStatus"]
                except self._client.exceptions.ResourceNotFoundException:
                    return False
            if status == "CREATING":
                return False
            self._exists.add(name)
        return True

    def _make(self, name: str) -> None:
        if self._is_there(name):
            return
        with self._errors():
            with suppress(
                self._client.exceptions.ResourceInUseException
            ):  # another process is creating it
                self._client.create_table(
                    TableName=name,
                    KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                    AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "B"}],
                    BillingMode="PAY_PER_REQUEST",
                )
            self._client.get_waiter("table_exists").wait(TableName=name)
        self._exists.add(name)

    def _each(self, call: Any, items: Iterable[Any]) -> list[Any]:
        """Call a function for each item, several at a time."""
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
            config=Config(retries=retries, max_pool_connections=_CALLS_AT_ONCE),
        )

    def _busy(self, _: Any) -> Any:
        raise StoreError(f"{self}: throttled {_ATTEMPTS} times in a row. Retry later.")

    def __str__(self) -> str:
        return f"DynamoDB online store in {self._region or 'the default region'}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            self._exists.clear()  # a table may have been dropped: check again next time
            raise StoreError(f"{self}: {error}.") from error


def _thread_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="dynamodb")


def _notes(table: Table) -> str:
    """Name of the table of layouts and ledgers; tables of views have two dots in their names."""
    return f"{table.project}.feature_platform"


def _note(name: str) -> dict[str, Any]:
    return {"k": {"B": name.encode()}}


def _item(record: Record) -> Item:
    return {
        "k": {"B": _ROW + record.key},
        "e": {"N": str(record.event)},
        "c": {"N": str(record.created)},
        "v": {"B": record.layout + record.body},
    }


def _found(item: Item) -> StoredRecord:
    value = item["v"]["B"]
    return StoredRecord(int(item["e"]["N"]), value[:6], value[6:])
