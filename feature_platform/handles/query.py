"""Queries: features of several feature groups, each row as of its own time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.definitions import ViewReference, is_identifier
from feature_platform.errors import RequestError, needing
from feature_platform.handles.condition import Condition, Feature
from feature_platform.retrieval import to_pandas
from feature_platform.table import EVENT_TIMESTAMP
from feature_platform.types.arrow import to_python
from feature_platform.types.times import BEGINNING, utc_time

if TYPE_CHECKING:
    from feature_platform.handles.feature_group import FeatureGroup

_FRAMES = ("default", "pandas", "polars", "arrow")


@dataclass(frozen=True)
class Join:
    """One feature group that is joined to the first one.

    Attributes:
        group: The feature group.
        features: Its selected features.
        keys: Join key of the group → column of the first group.
        prefix: Put before the names of its features.
        is_inner: Whether rows without any of its values are left out.
    """

    group: "FeatureGroup"
    features: tuple[str, ...]
    keys: dict[str, str]
    prefix: str = ""
    is_inner: bool = False


@dataclass(frozen=True)
class Query:
    """Features of a feature group, and of others that are joined to it. Immutable.

    Each row of the first group is joined with the newest row of every other one that was observed
    at its event time or before, within the ttl. There is one row for each row of the first group;
    ties are decided by the created timestamp and then by the values.

    Attributes:
        group: The first feature group, whose rows the result has.
        names: The selected columns of the first group.
        joins: What is joined to it.
        conditions: Conditions on the rows of the result, all of which hold.
        time: The time of `as_of`.

    Source: the queries of Hopsworks, which mutate, join without times where one is missing, and
    may return several rows for one.
    """

    group: "FeatureGroup"
    names: tuple[str, ...]
    joins: tuple[Join, ...] = ()
    conditions: tuple[Condition, ...] = ()
    time: datetime | None = field(default=None)

    def join(  # noqa: PLR0917 - the order of the arguments is that of Hopsworks
        self,
        sub_query: "Query",
        on: Sequence[str] | None = None,
        left_on: Sequence[str] | None = None,
        right_on: Sequence[str] | None = None,
        join_type: str = "left",
        prefix: str | None = None,
    ) -> "Query":
        """Return a query with another feature group joined to this one's first group.

        Args:
            sub_query: The selected features of the other group.
            on: Columns that both have; by default, the primary keys that both have.
            left_on: Columns of the first group, where names differ,
            right_on: the primary key of the other one, in the same order.
            join_type: `left`, or `inner` to leave out rows without any value of the other group.
            prefix: Put before the names of the other group's features.

        Raises:
            RequestError: The keys do not fit, the prefix cannot be in a name, a group has no event
                time, or two features would have one name.
        """
        other = sub_query.group
        if sub_query.joins:
            raise RequestError("Nested joins are not supported. Join each group to the first one.")
        if join_type.lower() not in {"left", "inner"}:
            raise RequestError(
                f"join_type={join_type!r}: each row is joined as of its own time, so rows come "
                "from the first group only. Use 'left' or 'inner', or start with the other group."
            )
        if prefix and not is_identifier(prefix):
            raise RequestError(f"prefix={prefix!r}: use letters, digits and underscores.")
        for group in (self.group, other):
            if not group.has_event_time:
                raise RequestError(
                    f"{group} has no event time, which a point-in-time join needs. Create it with "
                    "event_time."
                )
        keys = _join_keys(self.group, other, on, left_on, right_on)
        joined = Join(
            other,
            tuple(n for n in sub_query.names if n in other.feature_names),
            keys,
            prefix or "",
            join_type.lower() == "inner",
        )
        made = replace(
            self,
            joins=(*self.joins, joined),
            conditions=(*self.conditions, *sub_query.conditions),
        )
        made.columns()  # refuses names that two features share
        _check_conditions(made)
        return made

    def filter(self, condition: Condition) -> "Query":
        """Return a query of the rows for which a condition holds, too.

        Example:
            >>> trips.select_all().filter(trips["distance"] > 3)  # doctest: +SKIP
        """
        if not isinstance(condition, Condition):
            raise RequestError(f"filter: {condition!r} is not a condition. Write group['x'] > 1.")
        made = replace(self, conditions=(*self.conditions, condition))
        _check_conditions(made)
        return made

    def as_of(self, wallclock_time: datetime) -> "Query":
        """Return a query of what had been written by a time, in all feature groups."""
        return replace(self, time=utc_time(wallclock_time, "wallclock_time"))

    def columns(self) -> list[str]:
        """Return the names of the result's columns.

        Raises:
            RequestError: Two features would have one name.
        """
        names = list(self.names)
        for join in self.joins:
            for feature in join.features:
                name = join.prefix + feature
                if name in names:
                    raise RequestError(
                        f"Two features would be called {name!r}, one of them of {join.group}. "
                        f"Pass prefix='{join.group.name}_', or select fewer features."
                    )
                names.append(name)
        return names

    def read(
        self,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        dataframe_type: str = "default",
    ) -> Any:
        """Return the result, by default as pandas.

        Args:
            start_time: Rows of the first group observed from here, inclusive; all if left out,
            end_time: to here, inclusive.
            dataframe_type: `pandas`, `polars` or `arrow`.

        Raises:
            AccessError: Another project does not share a feature group, or no longer.
            StoreError: A source cannot be read.
        """
        if dataframe_type not in _FRAMES:
            raise RequestError(f"dataframe_type={dataframe_type!r} is not one of {_FRAMES}.")
        table = self.to_arrow(start_time, end_time)
        if dataframe_type == "arrow":
            return table
        if dataframe_type == "polars":
            with needing("polars", "to_polars"):
                import polars as pl

            return pl.DataFrame(table)
        return to_pandas(table)

    def show(self, n: int) -> list[list[Any]]:
        """Return the first rows of the result, as lists."""
        columns = [to_python(column) for column in self.to_arrow().slice(0, n).columns]
        return [list(row) for row in zip(*columns, strict=True)]

    def to_arrow(
        self, start_time: datetime | None = None, end_time: datetime | None = None
    ) -> pa.Table:
        """Return the result as Arrow."""
        store = self.group.store
        root = self.group.reference(self._needed_of_group())
        start = BEGINNING if start_time is None else start_time
        options: dict[str, Any] = {"full_feature_names": True, "as_of": self.time}
        job = store.get_historical_features(
            features=[root.with_name("root")], start_date=start, end_date=end_time, **options
        )
        return self.joined(_unlabelled(job.to_arrow(), "root"))

    def joined(self, rows: pa.Table) -> pa.Table:
        """Return the result for rows of the first group; a time column is `event_timestamp`."""
        labels = [f"join{n}" for n in range(len(self.joins))]
        if self.joins:
            references = [
                join.group.reference(self._needed_of(join)).with_name(label)
                .with_join_key_map(join.keys)
                for join, label in zip(self.joins, labels, strict=True)
            ]  # fmt: skip
            options: dict[str, Any] = {"full_feature_names": True, "as_of": self.time}
            job = self.group.store.get_historical_features(rows, references, **options)
            rows = job.to_arrow()
        columns = self._columns_of_features(labels)
        for condition in self.conditions:
            if unknown := [f for f in condition.features if f not in columns]:
                raise RequestError(
                    f"filter: {unknown[0].name!r} of {unknown[0].group} is not here."
                )
            rows = rows.filter(condition.evaluate(rows, columns))
        for join, label in zip(self.joins, labels, strict=True):
            if join.is_inner:
                rows = rows.filter(_has_any(rows, [f"{label}__{n}" for n in join.features]))
        selected = [columns[self.group.feature(name)] for name in self.names]
        for join, label in zip(self.joins, labels, strict=True):
            selected += [f"{label}__{name}" for name in join.features]
        return rows.select(selected).rename_columns(self.columns())

    def explain(self) -> str:
        """Describe the joins: keys, times, and the stores that they read."""
        group = self.group
        lines = [f"rows of {group}, in {group.place}"]
        for join in self.joins:
            keys = ", ".join(f"{join.group.name}.{r} = {left}" for r, left in join.keys.items())
            kind = "inner" if join.is_inner else "left"
            lines.append(
                f"{kind} join {join.group}, in {join.group.place}, on {keys}, point-in-time: its "
                f"newest {join.group.event_time} at or before {group.event_time}"
            )
        lines += [f"where {condition.text}" for condition in self.conditions]
        if self.time is not None:
            lines.append(f"as written by {self.time.isoformat()}")
        places = dict.fromkeys([group.place, *(join.group.place for join in self.joins)])
        if len(places) > 1:
            lines.append(
                "the rows and keys of the first group pass through this process to the other stores"
            )
        return "\n".join(lines)

    def _needed_of_group(self) -> tuple[str, ...]:
        """Return the features of the first group that are selected, joined or compared."""
        names = {*self.names, *(column for join in self.joins for column in join.keys.values())}
        names |= {f.name for f in self.compared() if f.group == self.group.path}
        needed = tuple(name for name in self.group.feature_names if name in names)
        return needed or self.group.feature_names[:1]

    def _needed_of(self, join: Join) -> tuple[str, ...]:
        compared = {f.name for f in self.compared() if f.group == join.group.path}
        names = {*join.features, *compared}
        return tuple(n for n in join.group.feature_names if n in names) or join.features

    def compared(self) -> set[Feature]:
        """Return the features that conditions read."""
        return {feature for condition in self.conditions for feature in condition.features}

    def _columns_of_features(self, labels: list[str]) -> dict[Feature, str]:
        columns: dict[Feature, str] = {}
        for join, label in zip(self.joins, labels, strict=True):
            columns |= {join.group.feature(n): f"{label}__{n}" for n in self._needed_of(join)}
        group = self.group
        names = (*group.primary_key, *self._needed_of_group())
        columns |= {group.feature(name): name for name in names}
        columns[group.feature(group.event_time)] = EVENT_TIMESTAMP
        return columns

    def references(self) -> list[ViewReference]:
        """Return the references of a feature service that serves the query."""
        features = tuple(name for name in self.names if name in self.group.feature_names)
        references = [self.group.reference(features)] if features else []
        for join in self.joins:
            keys = {right: left for right, left in join.keys.items() if right != left}
            joined = join.group.reference(join.features).with_join_key_map(keys)
            references.append(joined.with_name(join.prefix) if join.prefix else joined)
        return references


def _check_conditions(query: Query) -> None:
    """Refuse conditions on a group that is in the query more than once.

    Raises:
        RequestError: There is one.
    """
    paths = [query.group.path, *(join.group.path for join in query.joins)]
    for feature in query.compared():
        if (count := paths.count(feature.group)) > 1:
            raise RequestError(
                f"filter: {feature.group} is in the query {count} times, so {feature.name!r} could "
                "be that of either. Filter the result instead."
            )


def _join_keys(
    left: "FeatureGroup",
    right: "FeatureGroup",
    on: Sequence[str] | None,
    left_on: Sequence[str] | None,
    right_on: Sequence[str] | None,
) -> dict[str, str]:
    if on and (left_on or right_on):
        raise RequestError("join: pass either on, or left_on and right_on.")
    lefts, rights = list(on or left_on or ()), list(on or right_on or ())
    if len(lefts) != len(rights):
        raise RequestError(
            f"join: left_on has {len(lefts)} columns and right_on {len(rights)}; pair them."
        )
    if not lefts:
        lefts = rights = [key for key in right.primary_key if key in left.primary_key]
    if missing := [key for key in right.primary_key if key not in rights]:
        raise RequestError(
            f"join: the primary key of {right} is {list(right.primary_key)}, and "
            f"{missing} has no column of {left}. Pass left_on and right_on."
        )
    if unknown := [key for key in rights if key not in right.primary_key]:
        raise RequestError(f"join: {unknown[0]!r} is not in the primary key of {right}.")
    available = (*left.primary_key, *left.feature_names)
    if unknown := [name for name in lefts if name not in available]:
        raise RequestError(f"join: {left} has no column {unknown[0]!r}. It has {list(available)}.")
    return dict(zip(rights, lefts, strict=True))


def _unlabelled(table: pa.Table, label: str) -> pa.Table:
    return table.rename_columns([n.removeprefix(f"{label}__") for n in table.column_names])


def _has_any(rows: pa.Table, columns: Sequence[str]) -> Any:
    from pyarrow import compute

    valid: Any = pa.array([False] * rows.num_rows, pa.bool_())
    for name in columns:
        valid = compute.or_(valid, compute.is_valid(rows[name]))
    return valid
