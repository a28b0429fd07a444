"""Who may read and write what of another project: every cell of the matrix, stated here again."""

import ast
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from feature_platform import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    Policy,
    PushSource,
    StreamFeatureView,
    StreamSource,
    Transfer,
)
from feature_platform.definitions import Acceptance, Definition, Share
from feature_platform.project import Caller, Key, Registered, ShareState, Snapshot, access
from feature_platform.types import Int64

NOW = datetime(2026, 1, 15, 23, 59, tzinfo=UTC)
TODAY = NOW.date()
FIELDS = [Field(name="x", dtype=Int64), Field(name="y", dtype=Int64)]


def _definitions() -> dict[str, Definition]:
    """Return one object of each kind, in project `owner`; the shared view is called `v`."""
    entity = Entity(name="e", join_keys=["k"], value_type=Int64)
    history = FileSource(name="history", path="h.parquet")
    push = PushSource(name="push", batch_source=history)
    stream = StreamSource(name="stream", topic="t", batch_source=history)
    view = FeatureView(name="v", entities=[entity], schema=FIELDS, source=push)
    return {
        "entity": entity,
        "source": history,
        "push source": push,
        "feature view": view,
        "other view": FeatureView(name="w", entities=[], schema=FIELDS, source=history),
        "stream view": StreamFeatureView(name="s", entities=[entity], schema=FIELDS, source=stream),
        "on-demand view": OnDemandFeatureView(
            name="d", mode="sql", sources=["v"], expressions={"z": "x + 1"},
            schema=[Field(name="z", dtype=Int64)],
        ),
        "service of x": FeatureService(name="sx", features=["v:x"]),
        "service of v": FeatureService(name="sv", features=["v"]),
        "service of w": FeatureService(name="sw", features=["w:x"]),
        "service of a third project": FeatureService(name="s3", features=["third/w:x"]),
        "policy": Policy(),
        "transfer": Transfer(name="t", objects=["feature_service/sv"], to="risk"),
        "share": Share(to="fourth"),
        "acceptance": Acceptance(of="fourth"),
    }  # fmt: skip


OBJECTS = _definitions()
COVERAGES: dict[str, list[str]] = {
    "whole": [],
    "views": ["v", "s", "d"],
    "feature": ["v:x"],
    "elsewhere": ["w"],
}
STATES = ("none", "requested", "pending", "accepted", "rejected", "expired", "last day", "revoked")
OPEN = {"accepted", "last day"}  # a share ends after its last day

VIEWS = {"feature view", "stream view", "on-demand view"}
SERVICES = {"service of x", "service of v", "service of a third project"}
READABLE = {
    "whole": set(OBJECTS) - {"policy", "transfer", "share", "acceptance"},
    "views": VIEWS | SERVICES | {"entity"},
    "feature": {"feature view", "entity", "service of x", "service of a third project"},
    "elsewhere": {"other view", "service of w", "service of a third project"},
}
WRITABLE = {
    "whole": {"feature view", "other view", "stream view", "push source"},
    "views": {"feature view", "stream view", "push source"},
    "feature": set[str](),
    "elsewhere": {"other view"},
}


class Cell(NamedTuple):
    kind: str
    action: str
    state: str
    right: str
    coverage: str
    reader: str
    role: str

    @property
    def expected(self) -> bool:
        if self.action == "write" and self.role == "none":
            return False
        if self.reader == "owner":
            return True
        if self.reader != "reader" or self.state not in OPEN:
            return False
        if self.action == "read":
            return self.kind in READABLE[self.coverage]
        return self.right == "write" and self.kind in WRITABLE[self.coverage]


def cells() -> Iterator[Cell]:
    for parts in itertools.product(
        OBJECTS, ("read", "write"), STATES, ("read", "write"), COVERAGES,
        ("owner", "reader", "third"), ("platform", "risk", "none"),
    ):  # fmt: skip
        yield Cell(*parts)


def _entry(project: str, definition: Definition) -> tuple[Key, Registered]:
    key = Key(project, definition.kind, definition.name)
    return key, Registered(key, "platform", definition.to_json(), 1, parsed=definition)


def registry(state: str, right: Any, coverage: str) -> Snapshot:
    ends = {"expired": TODAY - timedelta(days=1), "last day": TODAY}
    share = Share(to="reader", views=COVERAGES[coverage], access=right, until=ends.get(state))
    entries = [_entry("owner", definition) for definition in OBJECTS.values()]
    if state not in {"none", "requested", "revoked"}:
        entries.append(_entry("owner", share))
    if state == "revoked":
        before = Snapshot().with_entries([_entry("owner", share)], NOW)
        removed = before.with_entries([(Key("owner", "share", "reader"), None)], NOW)
        return removed.with_entries([*entries, _entry("reader", Acceptance(of="owner"))], NOW)
    if state not in {"none", "pending"}:
        answer = Acceptance(of="owner", accepted=state != "rejected")
        entries.append(_entry("reader", answer))
    return Snapshot().with_entries(entries, NOW)


REGISTRIES = {
    parts: registry(*parts) for parts in itertools.product(STATES, ("read", "write"), COVERAGES)
}


def wrong_cells(decide: Callable[..., access.Decision]) -> list[Cell]:
    """Return the cells that are decided in another way than they should be."""
    wrong = []
    for cell in cells():
        definition = OBJECTS[cell.kind]
        decision = decide(
            REGISTRIES[cell.state, cell.right, cell.coverage],
            cell.action,
            Key("owner", definition.kind, definition.name),
            Caller(cell.reader, cell.role),
            NOW,
        )
        # Every refusal says why, and a view of which a feature is shared shows no other.
        is_told = decision.allowed or bool(decision.reason)
        partial = cell.coverage == "feature" and cell.reader == "reader"
        limited = decision.features == (("x",) if partial else None)
        is_view = cell.kind == "feature view" and decision.allowed
        if decision.allowed != cell.expected or not is_told or (is_view and not limited):
            wrong.append(cell)
    return wrong


def test_every_cell_of_the_matrix() -> None:
    assert sum(1 for _ in cells()) == 17_280
    assert wrong_cells(access.decide) == []


def _mutants() -> dict[str, ast.Module]:
    """Return the module once without each of its conditions."""
    source = Path(access.__file__).read_text("utf-8")
    names = {"grant", "decide", "_within", "_view", "_fed_by", "_reads_only_shared"}
    names |= {"_is_key_of_shared"}
    mutants = {}
    count = sum(isinstance(n, ast.If) for n in ast.walk(ast.parse(source)))
    for index in range(count):
        tree = ast.parse(source)
        functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
        ifs = [n for function in functions for n in ast.walk(function) if isinstance(n, ast.If)]
        label = ast.unparse(ifs[index].test) if index < len(ifs) else ""
        if label not in {"", "entry is None"}:  # the matrix has no object that does not exist
            ifs[index].test = ast.Constant(value=False)
            mutants[f"{index}: {label}"] = ast.fix_missing_locations(tree)
    return mutants


MUTANTS = _mutants()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_removal_of_any_condition_is_noticed(name: str) -> None:
    module: dict[str, Any] = {"__name__": "mutant"}
    exec(compile(MUTANTS[name], "mutant", "exec"), module)  # noqa: S102 - the module under test
    module["ShareState"] = ShareState
    with suppress(AttributeError, TypeError):  # which is to notice it louder
        assert wrong_cells(module["decide"])


def test_without_a_time_a_share_with_an_end_gives_nothing() -> None:
    snapshot = registry("last day", "read", "whole")
    assert access.grant(snapshot, "owner", "reader", NOW).state is ShareState.ACCEPTED
    assert access.grant(snapshot, "owner", "reader", None).state is ShareState.EXPIRED


def test_the_end_of_a_share_goes_with_the_decision() -> None:
    key = Key("owner", "feature_view", "v")
    decision = access.decide(
        registry("last day", "read", "feature"), "read", key, Caller("reader", "none"), NOW
    )
    assert (decision.until, decision.features) == (date(2026, 1, 15), ("x",))


def test_an_unreadable_share_or_answer_gives_nothing() -> None:
    snapshot = registry("accepted", "read", "whole")
    for key in (Key("owner", "share", "reader"), Key("reader", "acceptance", "owner")):
        broken = Registered(key, "platform", '{"type":"share","from_the_future":1}', 1)
        damaged = snapshot.with_entries([(key, broken)], NOW)
        view = Key("owner", "feature_view", "v")
        assert not access.decide(damaged, "read", view, Caller("reader", "risk"), NOW).allowed


def test_a_refusal_does_not_tell_whether_an_object_exists() -> None:
    snapshot = registry("accepted", "read", "elsewhere")
    reasons = {
        access.decide(
            snapshot, "read", Key("owner", "feature_view", name), Caller("reader", "risk"), NOW
        ).reason.replace(repr(name), "NAME")
        for name in ("v", "absent")
    }
    assert len(reasons) == 1


def test_all_grants_of_a_project_are_listed() -> None:
    snapshot = registry("requested", "read", "whole")
    listed = {
        (g.owner, g.reader, g.state) for g in access.grants(snapshot, "owner", NOW)
    }  # `owner` shares with a fourth project, and has accepted what that may share
    assert listed == {
        ("owner", "reader", ShareState.REQUESTED),
        ("owner", "fourth", ShareState.PENDING),
        ("fourth", "owner", ShareState.REQUESTED),
    }
