"""Random programs against a model of what the registry promises, written without it.

The model knows a small world: the platform's views, teams' services on them, and who may do what.
It says for every step whether it must be accepted, and what must be registered afterwards.
"""

import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import ClassVar
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from feature_platform.definitions import (
    Deprecation,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    Transfer,
)
from feature_platform.errors import ConflictError, FeaturePlatformError, RefusedError
from feature_platform.governance import Plan, plan
from feature_platform.project import ProjectSnapshot, Snapshot
from feature_platform.registry import MemoryLog, Registry
from feature_platform.registry.commit import replay
from feature_platform.types import Int64, String
from reliability.rows import Row, Tried, measured

OWNERS = ("platform", "risk", "growth")
TEAMS = OWNERS[1:]
VIEWS, SERVICES, FEATURES = ("v1", "v2"), ("s1", "s2", "s3"), ("a", "b")
TYPES = {"Int64": Int64, "String": String}
START = datetime(2026, 1, 1, tzinfo=UTC)
NOTICE, RESTING = timedelta(days=14), timedelta(days=30)


@dataclass(frozen=True)
class View:
    """Feature → type, and until when readers can rely on it."""

    features: tuple[tuple[str, str], ...]
    until: date | None = None


@dataclass(frozen=True)
class Service:
    """The view it reads, and the feature; `None` for all of it."""

    view: str
    feature: str | None


@dataclass(frozen=True)
class Offer:
    """The service that is offered, and to whom."""

    service: str
    to: str


Thing = View | Service | Offer


@dataclass
class Model:
    """What is registered: name → owner and content; and what was deleted when, by whom."""

    things: dict[str, tuple[str, Thing]] = field(default_factory=dict)
    gone: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    now: datetime = START

    def refuses(
        self, owner: str, wanted: dict[str, Thing | None], now: datetime, *, override: bool
    ) -> bool:
        """Say whether the registry must refuse that an owner sets things so."""
        if override and owner != "platform":
            return True
        after = self.after(owner, wanted, now)
        return any(
            self._is_foreign(owner, name, thing, override=override)
            or self._is_wrong(owner, name, thing, after, now, override=override)
            for name, thing in wanted.items()
        ) or any(
            self._loses(name, owner, wanted, after, now, override=override)
            for name in self.things
            if name not in wanted
        )

    def after(self, owner: str, wanted: dict[str, Thing | None], now: datetime) -> "Model":
        things, gone = dict(self.things), dict(self.gone)
        for name, thing in wanted.items():
            if thing is not None:
                things[name] = (owner, thing)
                gone.pop(name, None)
            elif name in things:
                gone[name] = (things.pop(name)[0], now)
        return Model(things, gone)

    def _is_foreign(self, owner: str, name: str, thing: Thing | None, *, override: bool) -> bool:
        held = self.things.get(name)
        if held is None:
            gone = self.gone.get(name)
            rests = gone is not None and self.now - gone[1] < RESTING
            # Only the platform can override, also that a name of others rests.
            return thing is not None and rests and gone[0] != owner and not override
        offered = any(
            o == held[0] and isinstance(t, Offer) and (t.service, t.to) == (name, owner)
            for o, t in self.things.values()
        )
        return held[0] != owner and not (offered and thing is not None)

    def _is_wrong(
        self,
        owner: str,
        name: str,
        thing: Thing | None,
        after: "Model",
        now: datetime,
        *,
        override: bool,
    ) -> bool:
        if isinstance(thing, View):
            held = self.things.get(name)
            before = held[1].until if held and isinstance(held[1], View) else None
            soon = thing.until is not None and thing.until < (now + NOTICE).date()
            earlier = before is None or (thing.until is not None and before > thing.until)
            return owner != "platform" or bool(held and soon and earlier and not override)
        if isinstance(thing, Service):
            return self._dangles(thing, after)
        if isinstance(thing, Offer):
            service = after.things.get(thing.service)
            return thing.to == owner or service is None or service[0] != owner
        return False

    @staticmethod
    def _dangles(service: Service, after: "Model") -> bool:
        view = after.things.get(service.view)
        if view is None or not isinstance(view[1], View):
            return True
        return service.feature is not None and service.feature not in dict(view[1].features)

    def _loses(
        self,
        name: str,
        owner: str,
        wanted: dict[str, Thing | None],
        after: "Model",
        now: datetime,
        *,
        override: bool,
    ) -> bool:
        """Say whether a service that the plan leaves alone loses something it may rely on."""
        reader, service = self.things[name]
        if not isinstance(service, Service) or service.view not in wanted:
            return False
        before = self.things.get(service.view)
        if before is None or not isinstance(before[1], View):
            return False
        passed = before[1].until is not None and now.date() > before[1].until
        if reader != owner and (passed or override):
            return False
        was_dangling = self._dangles(service, self)
        if self._dangles(service, after):
            return not was_dangling or wanted[service.view] is None
        if reader == owner:
            return False
        old, new = dict(before[1].features), dict(after.things[service.view][1].features)
        read = [service.feature] if service.feature else list(old)
        return any(old.get(f, new.get(f)) != new.get(f) for f in read)


def definition(name: str, thing: Thing) -> FeatureView | FeatureService | Transfer:
    if isinstance(thing, View):
        fields = [Field(name=f, dtype=TYPES[t]) for f, t in thing.features]
        until = thing.until and Deprecation(remove_after=thing.until)
        return FeatureView(name=name, source="rows", schema=fields, deprecated=until)
    if isinstance(thing, Service):
        reads = f"{thing.view}:{thing.feature}" if thing.feature else thing.view
        return FeatureService(name=name, features=[reads])
    return Transfer(name=name, objects=[f"feature_service/{thing.service}"], to=thing.to)


views = st.builds(
    View,
    st.dictionaries(st.sampled_from(FEATURES), st.sampled_from(sorted(TYPES)), min_size=1).map(
        lambda found: tuple(sorted(found.items()))
    ),
    st.none() | st.integers(0, 40).map(lambda days: START.date() + timedelta(days=days)),
)
services = st.builds(Service, st.sampled_from(VIEWS), st.none() | st.sampled_from(FEATURES))
offers = st.builds(Offer, st.sampled_from(SERVICES), st.sampled_from(OWNERS))


def wishes(owner: str) -> st.SearchStrategy[tuple[str, dict[str, Thing]]]:
    """What an owner may want: mostly what is its own kind of thing, and little at a time."""
    allowed: dict[str, st.SearchStrategy[Thing]] = dict.fromkeys(SERVICES, services)
    allowed["offer"] = offers
    if owner == "platform":
        allowed |= dict.fromkeys(VIEWS, views)
    names = st.sets(st.sampled_from(sorted(allowed)), min_size=1, max_size=2)
    anything = {**allowed, **dict.fromkeys(VIEWS, views)}
    hostile = st.sets(st.sampled_from(sorted(anything)), max_size=3)
    chosen = st.one_of(names, names, names, hostile)
    return chosen.flatmap(
        lambda found: st.tuples(
            st.just(owner), st.fixed_dictionaries({name: anything[name] for name in found})
        )
    )


wanted_by_somebody = st.sampled_from(OWNERS).flatmap(wishes)


class Programs(RuleBasedStateMachine):
    """Owners plan and commit, at once or later, while time passes and processes start again.

    Attributes:
        seen: What happened → how often, over all programs.
    """

    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.log = MemoryLog()
        self.registry = Registry(self.log, now=lambda: self.now)
        self.source = FileSource(name="rows", path="rows.parquet")
        made = plan(ProjectSnapshot(Snapshot(), "p"), owner="platform", desired=[self.source])
        self.acked = [self.registry.commit(made, principal="platform").commit_id]
        self.model = Model()
        self.sound = True
        self.states = [self.model]  # one for each version
        self.pending: list[tuple[str, dict[str, Thing | None], Plan, Model]] = []
        first: dict[str, Thing] = dict.fromkeys(VIEWS, View((("a", "Int64"), ("b", "Int64"))))
        self.settle("platform", first, self.made("platform", first))
        self.seen["programs"] += 1

    def made(self, owner: str, wanted: dict[str, Thing | None], **options: object) -> Plan:
        desired = [definition(name, thing) for name, thing in wanted.items() if thing]
        gone = [name for name, thing in wanted.items() if thing is None]
        delete = [definition(name, self.model.things[name][1]) for name in gone]
        project = ProjectSnapshot(self.registry.snapshot(), "p")
        return plan(project, owner=owner, desired=desired, delete=delete,
            **options,
        )  # fmt: skip

    def settle(self, owner: str, wanted: dict[str, Thing | None], plan_: Plan) -> None:
        """Commit, and compare with what the model says must happen."""
        self.sound = False
        self.model = replace(self.model, now=self.now)
        changed = {
            name: thing for name, thing in wanted.items()
            if self.model.things.get(name) != (thing and (owner, thing))
        }  # fmt: skip
        override = bool(plan_.override)
        must_refuse = bool(changed) and self.model.refuses(
            owner, changed, self.now, override=override
        )
        try:
            commit = self.registry.commit(plan_, principal=owner)
        except RefusedError as error:
            if not must_refuse:
                raise AssertionError(f"{owner} {changed} was refused: {error}") from error
            self.seen["plans refused"] += 1
            return
        assert not must_refuse, f"{owner} {changed} was accepted"
        assert bool(commit) == bool(changed)
        if commit:
            self.seen["commits"] += 1
            self.seen["commits that override"] += override
            self.acked.append(commit.commit_id)
            self.model = replace(self.model.after(owner, changed, commit.at), now=self.now)
            self.states.append(self.model)

    @rule(wish=wanted_by_somebody, override=st.booleans())
    def apply(self, wish: tuple[str, dict[str, Thing]], override: bool) -> None:
        owner, wanted = wish
        reason = "because" if override and owner == "platform" else ""
        self.settle(owner, wanted, self.made(owner, wanted, override=reason))

    @rule(wish=wanted_by_somebody)
    def sync(self, wish: tuple[str, dict[str, Thing]]) -> None:
        """A full sync; the platform keeps its source."""
        owner, wanted = wish
        missing = {
            name: None for name, (holder, _) in self.model.things.items()
            if holder == owner and name not in wanted
        }  # fmt: skip
        desired = [definition(name, thing) for name, thing in wanted.items()]
        if owner == "platform":
            desired.append(self.source)
        project = ProjectSnapshot(self.registry.snapshot(), "p")
        made = plan(project, owner=owner, desired=desired, partial=False,
            mass_delete=True,
        )  # fmt: skip
        self.settle(owner, {**wanted, **missing}, made)

    @precondition(lambda self: self.model.things)
    @rule(stranger=st.none() | st.sampled_from(OWNERS), data=st.data())
    def delete(self, stranger: str | None, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.things)))
        owner = stranger or self.model.things[name][0]
        self.settle(owner, {name: None}, self.made(owner, {name: None}))

    @rule(wish=wanted_by_somebody)
    def plan_for_later(self, wish: tuple[str, dict[str, Thing]]) -> None:
        owner, wanted = wish
        self.pending.append((owner, wanted, self.made(owner, wanted), self.model))

    @rule(data=st.data(), owner=st.sampled_from(OWNERS))
    def overtake(self, data: st.DataObject, owner: str) -> None:
        """Plan, be overtaken by oneself elsewhere, and commit the first plan then."""
        _, first = data.draw(wishes(owner))
        _, second = data.draw(wishes(owner))
        self.pending.insert(0, (owner, first, self.made(owner, first), self.model))
        self.settle(owner, second, self.made(owner, second))
        self.commit_later()

    @precondition(lambda self: self.pending)
    @rule()
    def commit_later(self) -> None:
        """A plan that others overtook is a conflict; any other is as good as new."""
        owner, wanted, made, then = self.pending.pop(0)
        touched = [change.name for change in made.changes]
        moved = [
            n for n in touched
            if then.things.get(n, (0, 0))[1] != self.model.things.get(n, (0, 0))[1]
        ]  # fmt: skip
        done = all(self.model.things.get(n) == (owner, wanted[n]) for n in touched)
        if moved and not done:
            before = self.registry.snapshot().version
            try:
                self.registry.commit(made, principal=owner)
            except ConflictError:
                assert self.registry.snapshot().version == before
                self.seen["stale plans"] += 1
                return
            raise AssertionError(f"{owner} overwrote {moved} unseen")
        self.settle(owner, {n: wanted[n] for n in touched}, made)

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)

    @rule(days=st.integers(1, 400))
    def clock_goes_back(self, days: int) -> None:
        """Commits go on in order; only dates are compared with a clock that is wrong."""
        now, self.now = self.now, self.now - timedelta(days=days)
        with suppress(FeaturePlatformError):
            self.source = FileSource(name="rows", path="rows.parquet", description=str(days))
            made = plan(
                ProjectSnapshot(self.registry.snapshot(), "p"),
                owner="platform",
                desired=[self.source],
            )
            if commit := self.registry.commit(made, principal="platform"):
                self.seen["commits by a clock that went back"] += 1
                self.acked.append(commit.commit_id)
                self.states.append(self.model)
        self.now = now

    @rule()
    def restart(self) -> None:
        self.registry = Registry(self.log, now=lambda: self.now)
        self.seen["restarts"] += 1

    @rule()
    def checkpoint(self) -> None:
        from feature_platform.registry.checkpoint import Checkpoint

        snapshot = self.registry.snapshot()
        self.log.keep(snapshot.version, Checkpoint.of(snapshot).to_bytes())
        self.seen["checkpoints"] += 1

    @invariant()
    def what_is_registered_is_what_the_model_says(self) -> None:
        """I1, I2, I6 to I8: contiguous, each acknowledged once, owners and contents as promised."""
        snapshot = self.registry.snapshot()
        held = {
            key.name: (entry.owner, entry.body)
            for key, entry in snapshot.entries.items() if key.name != "rows"
        }  # fmt: skip
        assert held == {
            name: (owner, definition(name, thing).to_json())
            for name, (owner, thing) in self.model.things.items()
        }
        assert snapshot.version == len(self.acked)
        self.sound = True
        self.seen["comparisons"] += 1

    def teardown(self) -> None:
        """I1 to I5: the whole history, replayed from nothing and from checkpoints."""
        if not self.sound:
            return  # it is known what is wrong
        history = Registry(self.log).history()
        assert [commit.commit_id for commit in history] == self.acked
        assert [commit.version for commit in history] == list(range(1, len(history) + 1))
        assert all(a.at < b.at for a, b in pairwise(history))
        records = self.log.read(0)
        cold = Registry(self.log)
        for version, model in enumerate(self.states, 1):
            state = cold.snapshot(version)
            assert state == replay(Snapshot(), records[:version])
            assert {k.name: e.owner for k, e in state.entries.items() if k.name != "rows"} == {
                name: owner for name, (owner, _) in model.things.items()
            }
        self.seen["histories"] += 1


def run(
    programs: int, seed: int, steps: int = 30, *, shrink: bool = False
) -> tuple[Counter[str], str]:
    """Run random programs; return what happened how often, and what went wrong first, if any."""
    from hypothesis import seed as seeded

    chosen = settings(
        max_examples=programs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
    )
    seen: Counter[str] = Counter()
    machine = seeded(seed)(type("Seeded", (Programs,), {"seen": seen}))
    try:
        run_machine(machine, settings=chosen)
    except (AssertionError, FeaturePlatformError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return seen, (str(error).splitlines() or [f"{where.name}: {where.line}"])[0]
    return seen, ""


BUGS: dict[str, Callable[[], object]] = {
    "owners are not compared": lambda: patch(
        "feature_platform.governance.rules.may_change", lambda *_: True
    ),
    "readers are not asked": lambda: patch(
        "feature_platform.governance.contracts.Contracts.effects", lambda _: iter(())
    ),
    "plans are never stale": lambda: patch(
        "feature_platform.registry.registry.Registry._check_unchanged", lambda *_: None
    ),
}


# What a program brings on average is at least twice as much, and differs between seeds.
LEAST_PER_PROGRAM = {
    "programs": 0.9,
    "histories": 0.9,
    "comparisons": 10,
    "commits": 2,
    "plans refused": 2,
    "stale plans": 0.02,
    "commits that override": 0.01,
    "commits by a clock that went back": 0.5,
    "restarts": 0.5,
    "checkpoints": 0.5,
}


def row(programs: int, seed: int) -> Row:
    """2,000 random programs."""
    with measured() as clock:
        seen, wrong = run(programs, seed)
        caught = {}
        for name, bug in BUGS.items():
            with bug():
                _, caught[name] = run(300, seed)
    return Row(
        name="random programs against a model",
        tried={
            name: Tried(seen[name], max(1, int(programs * share)))
            for name, share in LEAST_PER_PROGRAM.items()
        },
        bad=int(bool(wrong)),
        detail=wrong or "invariants I1 to I8 hold after every step",
        controls={name: bool(text) for name, text in caught.items()},
        control_detail="; ".join(f"{name}: {text[:60]}" for name, text in caught.items()),
        seconds=clock.seconds,
    )
