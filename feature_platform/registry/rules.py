"""The rules of a federated registry: pure functions from (plan, snapshot) to problems."""

from collections.abc import Iterator
from dataclasses import dataclass

from feature_platform.definitions import (
    Definition,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    OnDemandFeatureView,
    PushSource,
    View,
    ViewReference,
)
from feature_platform.errors import Problem, did_you_mean
from feature_platform.registry.plan import Change, Plan
from feature_platform.registry.snapshot import PLATFORM, VIEW_KINDS, Key, Registered, Snapshot


def check(plan: Plan, snapshot: Snapshot) -> tuple[Problem, ...]:
    """Return everything that speaks against a plan.

    Args:
        plan: What an owner wants to change.
        snapshot: The registry the change would sit on.

    Returns:
        All problems at once, in the order of the plan; none if it may be committed.
    """
    state = _State(plan, snapshot, snapshot.with_entries(plan.entries()))
    rules = (_ownership, _kinds, _names, _collisions, _references, _contracts, _cycles)
    found = [problem for rule in rules for problem in rule(state)]
    # Who may not touch an object needs no advice on its contents.
    foreign = {p.subject: p for p in reversed(found) if p.rule in {"ownership", "kind"}}
    return tuple(dict.fromkeys(foreign.get(p.subject, p) for p in found))


@dataclass(frozen=True)
class _State:
    plan: Plan
    before: Snapshot
    after: Snapshot

    def changed(self) -> Iterator[tuple[Change, Definition]]:
        """Yield what the plan creates or updates."""
        for change in self.plan.changes:
            if change.after is not None:
                yield change, change.definition

    def key(self, change: Change) -> Key:
        return Key(self.plan.project, change.kind, change.name)

    def view(self, name: str) -> View | None:
        """Return a view as it will be."""
        return _view(self.after, self.plan.project, name)


def _ownership(state: _State) -> Iterator[Problem]:
    for change in state.plan.changes:
        entry = state.before.entries.get(state.key(change))
        if entry is not None and entry.owner != state.plan.owner:
            verb = {"create": "create", "update": "change", "delete": "delete"}[change.action]
            yield _problem(
                "ownership",
                change,
                f"belongs to {entry.owner!r}; {state.plan.owner!r} cannot {verb} it. Refer to it "
                f"by name, or ask {entry.owner!r} for the change.",
            )


def _kinds(state: _State) -> Iterator[Problem]:
    if state.plan.owner == PLATFORM:
        return
    allowed = state.before.policy(state.plan.project).team_kinds
    for change, _ in state.changed():
        if change.kind not in allowed:
            kinds = " and ".join(f"{kind.replace('_', ' ')}s" for kind in allowed)
            yield _problem(
                "kind",
                change,
                f"only the platform team registers objects of this kind; teams register {kinds}.",
            )


def _names(state: _State) -> Iterator[Problem]:
    policy = state.after.policy(state.plan.project)
    owner = state.plan.owner
    own = policy.prefixes.get(owner, ())
    for change, _ in state.changed():
        if change.kind == "policy" or state.before.entries.get(state.key(change)) is not None:
            continue
        if own and not change.name.startswith(own):
            prefixes = " or ".join(map(repr, own))
            yield _problem("naming", change, f"names of team {owner!r} start with {prefixes}.")
        if not own and owner != PLATFORM and policy.teams_need_prefix:
            yield _problem(
                "naming", change, f"team {owner!r} has no prefix; the platform's policy sets them."
            )
        for team, prefixes_of_team in policy.prefixes.items():
            if team != owner and change.name.startswith(prefixes_of_team) and not own:
                yield _problem("naming", change, f"this prefix is reserved for team {team!r}.")


def _collisions(state: _State) -> Iterator[Problem]:
    """Two names that differ in case only, or two views of one name, cannot be told apart."""
    taken: dict[tuple[str, str], Key] = {}
    created = {state.key(change): change for change, _ in state.changed()}
    for key in sorted(state.after.entries, key=lambda k: k in created):
        if key.project != state.plan.project:
            continue
        space = "view" if key.kind in VIEW_KINDS else key.kind
        other = taken.setdefault((space, key.name.casefold()), key)
        if other != key and key in created:
            holder = state.after.entries[other].owner
            yield _problem(
                "collision",
                created[key],
                f"the name is taken by {other.kind.replace('_', ' ')} {other.name!r} of "
                f"{holder!r}; choose another.",
            )


def _references(state: _State) -> Iterator[Problem]:
    for change, definition in state.changed():
        for message, missing in _broken(state.after, state.plan.project, definition):
            yield _problem("reference", change, message, missing)


def _contracts(state: _State) -> Iterator[Problem]:
    """What others use stays as they use it."""
    own_changes = {state.key(change) for change in state.plan.changes}
    for change in state.plan.changes:
        if change.action == "create":
            continue
        used = [
            (key, entry, reason)
            for key, entry in state.after.entries.items()
            if key.project == state.plan.project and key not in own_changes
            for reason in _breaks(state, change, entry)
        ]
        if used:
            consumers = "; ".join(
                f"{key.kind.replace('_', ' ')} {key.name!r} of {entry.owner!r} ({reason})"
                for key, entry, reason in sorted(used, key=lambda item: item[0])
            )
            yield _problem(
                "contract",
                change,
                f"the {change.action} would break {len(used)} "
                f"consumer{'s' if len(used) > 1 else ''}: {consumers}. Keep it compatible, or let "
                "the consumers move away first.",
            )


def _breaks(state: _State, change: Change, entry: Registered) -> Iterator[str]:
    """Yield the reasons why a change breaks one registered object that it does not touch."""
    project = state.plan.project
    consumer = entry.definition
    if not _uses(consumer, change.kind, change.name):
        return
    broken = [message for message, _ in _broken(state.after, project, consumer)]
    if broken and not list(_broken(state.before, project, consumer)):
        yield from ["it reads this"] if change.action == "delete" else broken
        return
    before, after = (_view(s, project, change.name) for s in (state.before, state.after))
    if before is None or after is None or change.kind not in VIEW_KINDS:
        return
    entities = [v.entities for v in (before, after) if isinstance(v, FeatureView)]
    if len(set(entities)) > 1:
        yield f"entities change from {list(entities[0])} to {list(entities[1])}"
    for ref in _view_references(consumer):
        if ref.view == change.name:
            types = {f.name: f.dtype for f in _fields(after)}
            for old in _wanted(ref, before):
                if old.name in types and types[old.name] != old.dtype:
                    yield f"{old.name!r} changes from {old.dtype} to {types[old.name]}"


def _cycles(state: _State) -> Iterator[Problem]:
    for change, definition in state.changed():
        if isinstance(definition, OnDemandFeatureView):
            path = _path_back(state, definition, definition.name, ())
            if path:
                yield _problem("cycle", change, f"it reads itself: {' → '.join(path)}.")


def _path_back(
    state: _State, view: OnDemandFeatureView, goal: str, path: tuple[str, ...]
) -> tuple[str, ...]:
    path = (*path, view.name)
    for ref in view.inputs:
        if ref.view == goal:
            return (*path, goal)
        upstream = state.view(ref.view)
        if not isinstance(upstream, OnDemandFeatureView) or upstream.name in path:
            continue
        if found := _path_back(state, upstream, goal, path):
            return found
    return ()


def _broken(
    snapshot: Snapshot, project: str, definition: Definition
) -> Iterator[tuple[str, str | None]]:
    """Yield what a definition refers to and the registry lacks, with the missing object."""
    if isinstance(definition, FeatureView):
        yield from _missing(snapshot, project, "entity", definition.entities)
        yield from _missing(snapshot, project, "source", (definition.source,))
        keys = _join_keys(snapshot, project, definition)
        if not [f for f in definition.fields if f.name not in keys]:
            yield "its schema has join keys only; declare at least one feature.", None
    if isinstance(definition, PushSource) and definition.batch_source:
        yield from _missing(snapshot, project, "source", (definition.batch_source,))
    for ref in _view_references(definition):
        view = _view(snapshot, project, ref.view)
        if view is None:
            hint = did_you_mean(ref.view, snapshot.names(project, *VIEW_KINDS))
            yield f"view {ref.view!r} is not registered.{hint}", f"view {ref.view!r}"
            continue
        known = _feature_names(snapshot, project, view)
        for name in ref.features or ():
            if name not in known:
                hint = did_you_mean(name, known)
                yield f"view {ref.view!r} has no feature {name!r}.{hint}", f"{ref.view}:{name}"
        keys = _join_keys(snapshot, project, view)
        for name in ref.join_key_map:
            if isinstance(view, FeatureView) and name not in keys:
                yield f"view {ref.view!r} has no join key {name!r}; it has {list(keys)}.", None


def _missing(
    snapshot: Snapshot, project: str, kind: str, names: tuple[str, ...]
) -> Iterator[tuple[str, str | None]]:
    for name in names:
        if snapshot.find(project, kind, name) is None:
            hint = did_you_mean(name, snapshot.names(project, kind))
            yield f"{kind} {name!r} is not registered.{hint}", f"{kind} {name!r}"


def _uses(definition: Definition, kind: str, name: str) -> bool:
    if kind in VIEW_KINDS:
        return any(ref.view == name for ref in _view_references(definition))
    if isinstance(definition, FeatureView):
        return (kind == "entity" and name in definition.entities) or (
            kind == "source" and name == definition.source
        )
    return isinstance(definition, PushSource) and (kind, name) == (
        "source",
        definition.batch_source,
    )


def _view_references(definition: Definition) -> tuple[ViewReference, ...]:
    if isinstance(definition, OnDemandFeatureView):
        return definition.inputs
    return definition.features if isinstance(definition, FeatureService) else ()


def _view(snapshot: Snapshot, project: str, name: str) -> View | None:
    for kind in VIEW_KINDS:
        entry = snapshot.find(project, kind, name)
        if entry is not None and isinstance(entry.definition, View):
            return entry.definition
    return None


def _join_keys(snapshot: Snapshot, project: str, view: View) -> dict[str, None]:
    names = view.entities if isinstance(view, FeatureView) else ()
    found = (snapshot.find(project, "entity", name) for name in names)
    entities = [e.definition for e in found if e and isinstance(e.definition, Entity)]
    return dict.fromkeys(key for entity in entities for key in entity.join_keys)


def _feature_names(snapshot: Snapshot, project: str, view: View) -> list[str]:
    keys = _join_keys(snapshot, project, view)
    return [name for name in view.feature_names if name not in keys]


def _fields(view: View) -> tuple[Field, ...]:
    return view.fields if isinstance(view, (FeatureView, OnDemandFeatureView)) else ()


def _wanted(ref: ViewReference, view: View) -> list[Field]:
    return [f for f in _fields(view) if ref.features is None or f.name in ref.features]


def _problem(rule: str, change: Change, message: str, missing: str | None = None) -> Problem:
    subject = f"{change.kind.replace('_', ' ')} {change.name!r}"
    return Problem(rule=rule, subject=subject, message=message, missing=missing)
