"""The rules of a federated registry: pure functions from (plan, snapshot) to problems."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from feature_platform.definitions import (
    KINDS,
    Definition,
    Entity,
    FeatureService,
    FeatureView,
    OnDemandFeatureView,
    PushSource,
    Source,
    View,
    ViewReference,
    is_name,
)
from feature_platform.errors import Problem, did_you_mean
from feature_platform.registry.offers import (
    Known,
    ambiguous,
    differences,
    entities_of,
    feature_names_of,
    join_keys_of,
    offer,
    view_of,
)
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
    if malformed := tuple(_form(plan)):
        return malformed
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
    offers_before: Known = field(default_factory=dict)
    offers_after: Known = field(default_factory=dict)

    def changed(self) -> Iterator[tuple[Change, Definition]]:
        """Yield what the plan creates or updates."""
        for change in self.plan.changes:
            if change.after is not None:
                yield change, change.definition

    def key(self, change: Change) -> Key:
        return Key(self.plan.project, change.kind, change.name)

    def view(self, name: str) -> View | None:
        """Return a view as it will be."""
        return view_of(self.after, self.plan.project, name)


def _form(plan: Plan) -> Iterator[Problem]:
    """A change holds what it says it holds, in the one canonical form, and once."""
    seen = set()
    for change in plan.changes:
        place = (change.kind, change.name)
        problem = None
        if change.kind not in KINDS or not is_name(change.name):
            problem = "there is no such kind, or the name is not valid."
        elif place in seen:
            problem = "the plan changes it twice."
        elif change.before is None and change.after is None:
            problem = "the change is empty."
        elif change.after is not None:
            problem = _content_problem(change)
        seen.add(place)
        if problem:
            yield _problem("form", change, problem)


def _content_problem(change: Change) -> str | None:
    try:
        definition = change.definition
    except ValueError as error:
        return f"the content is not a definition: {str(error).splitlines()[0]}"
    if (definition.kind, definition.name) != (change.kind, change.name):
        return f"the content is {definition}."
    return None if definition.to_json() == change.after else "the content is not canonical."


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
        folded = change.name.casefold()
        if own and not change.name.startswith(own):
            prefixes = " or ".join(map(repr, own))
            yield _problem("naming", change, f"names of team {owner!r} start with {prefixes}.")
        if not own and owner != PLATFORM and policy.teams_need_prefix:
            yield _problem(
                "naming", change, f"team {owner!r} has no prefix; the platform's policy sets them."
            )
        reserved = {p.casefold(): team for team, ps in policy.prefixes.items() for p in ps}
        matching = [prefix for prefix in reserved if folded.startswith(prefix)]
        team = reserved[max(matching, key=len)] if matching else owner
        if team != owner and (not own or change.name.startswith(own)):
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
    """Nothing is left dangling, and what others use stays as they use it."""
    own_changes = {state.key(change) for change in state.plan.changes}
    consumers = [
        (key, entry)
        for key, entry in sorted(state.before.entries.items())
        if key.project == state.plan.project and key not in own_changes
    ]
    for change in state.plan.changes:
        if change.before is None:
            continue
        views = _affected_views(state, change)
        used = [
            (key, entry, reason)
            for key, entry in consumers
            for reason in _breaks(state, change, views, entry)
        ]
        if used:
            listed = "; ".join(
                f"{key.kind.replace('_', ' ')} {key.name!r} of {entry.owner!r} ({reason})"
                for key, entry, reason in used
            )
            count = len({key for key, _, _ in used})
            yield _problem(
                "contract",
                change,
                f"the {change.action} would break {count} consumer{'s' if count > 1 else ''}: "
                f"{listed}. Keep it compatible, or let the consumers move away first.",
            )


def _affected_views(state: _State, change: Change) -> set[str]:
    """Return the views that a change of an entity, a source or a view can alter."""
    return _with_readers(state, _directly_affected(state, change))


def _with_readers(state: _State, views: set[str]) -> set[str]:
    """Add the on-demand views that read some views, however indirectly."""
    readers = list(state.before.of(OnDemandFeatureView, state.plan.project))
    while grown := {v.name for v, _ in readers if {r.view for r in v.inputs} & views} - views:
        views = views | grown
    return views


def _directly_affected(state: _State, change: Change) -> set[str]:
    if change.kind in VIEW_KINDS:
        return {change.name}
    sources = {change.name} if change.kind == Source.kind else set()
    project = state.plan.project
    for push, _ in state.before.of(PushSource, project):
        if sources and push.batch_source == change.name:
            sources.add(push.name)
    return {
        view.name
        for view, _ in state.before.of(FeatureView, project)
        if (change.kind == Entity.kind and change.name in view.entities) or view.source in sources
    }


def _breaks(state: _State, change: Change, views: set[str], entry: Registered) -> Iterator[str]:
    """Yield the reasons why a change breaks one registered object that it does not touch."""
    consumer = entry.definition
    project = state.plan.project
    refs = [ref for ref in _view_references(consumer) if ref.view in views]
    if change.after is None and _names_directly(consumer, change):
        yield "it reads this"
        return
    after = {message for message, _ in _broken(state.after, project, consumer)}
    if new := after - {message for message, _ in _broken(state.before, project, consumer)}:
        yield from sorted(new)
        return
    if entry.owner == state.plan.owner or not refs:
        return
    wanted = _view_references(consumer)
    old = ambiguous(state.before, project, wanted, state.offers_before)
    for name in sorted(ambiguous(state.after, project, wanted, state.offers_after) - old):
        yield f"{name!r} would come from two of the views it reads"
    for ref in refs:
        before = offer(state.before, project, ref.view, state.offers_before)
        now = offer(state.after, project, ref.view, state.offers_after)
        if before is not None and now is not None:
            yield from differences(ref, before, now)


def _cycles(state: _State) -> Iterator[Problem]:
    for change, definition in state.changed():
        if isinstance(definition, OnDemandFeatureView) and (path := _circle(state, definition)):
            yield _problem("cycle", change, f"it reads itself: {' → '.join(path)}.")


def _circle(state: _State, start: OnDemandFeatureView) -> list[str]:
    """Return the shortest way from a view back to itself."""
    reached_from: dict[str, str] = {}
    todo = [start]
    while todo:
        view = todo.pop(0)
        for ref in view.inputs:
            if ref.view == start.name:
                path = [start.name, view.name]
                while path[-1] != start.name:
                    path.append(reached_from[path[-1]])
                return path[::-1] if len(path) > 2 else [start.name, start.name]  # noqa: PLR2004
            upstream = state.view(ref.view)
            if isinstance(upstream, OnDemandFeatureView) and ref.view not in reached_from:
                reached_from[ref.view] = view.name
                todo.append(upstream)
    return []


def _broken(
    snapshot: Snapshot, project: str, definition: Definition
) -> Iterator[tuple[str, str | None]]:
    """Yield what a definition refers to and the registry lacks, with the missing object."""
    if isinstance(definition, FeatureView):
        yield from _missing(snapshot, project, "entity", definition.entities)
        yield from _missing(snapshot, project, "source", (definition.source,))
        yield from ((message, None) for message in _key_problems(snapshot, project, definition))
    if isinstance(definition, PushSource) and definition.batch_source:
        yield from _missing(snapshot, project, "source", (definition.batch_source,))
    for ref in _view_references(definition):
        view = view_of(snapshot, project, ref.view)
        if view is None:
            hint = did_you_mean(ref.view, snapshot.names(project, *VIEW_KINDS))
            yield f"view {ref.view!r} is not registered.{hint}", f"view {ref.view!r}"
            continue
        known = feature_names_of(snapshot, project, view)
        for name in ref.features or ():
            if name not in known:
                hint = did_you_mean(name, known)
                yield f"view {ref.view!r} has no feature {name!r}.{hint}", f"{ref.view}:{name}"
        keys = join_keys_of(snapshot, project, view)
        for name in ref.join_key_map:
            if name not in keys:
                yield f"view {ref.view!r} has no join key {name!r}; it has {list(keys)}.", None
        if isinstance(definition, OnDemandFeatureView):
            yield from _request_problems(snapshot, project, definition, ref)


def _missing(
    snapshot: Snapshot, project: str, kind: str, names: tuple[str, ...]
) -> Iterator[tuple[str, str | None]]:
    for name in names:
        if snapshot.find(project, kind, name) is None:
            hint = did_you_mean(name, snapshot.names(project, kind))
            yield f"{kind} {name!r} is not registered.{hint}", f"{kind} {name!r}"


def _key_problems(snapshot: Snapshot, project: str, view: FeatureView) -> Iterator[str]:
    keys = [key for entity in entities_of(snapshot, project, view) for key in entity.join_keys]
    folded = {key.casefold() for key in keys}
    if len(folded) < len(keys):
        yield f"its entities share a join key: {keys}."
    if not [f for f in view.fields if f.name not in keys]:
        yield "its schema has join keys only; declare at least one feature."
    for declared in view.fields:
        if declared.name in keys and (declared.dtype.item or "Float" in declared.dtype.name):
            yield f"join key {declared.name!r} cannot be {declared.dtype}."
        if declared.name not in keys and declared.name.casefold() in folded:
            yield f"feature {declared.name!r} differs from a join key in case only; rename it."


def _request_problems(
    snapshot: Snapshot, project: str, view: OnDemandFeatureView, ref: ViewReference
) -> Iterator[tuple[str, str | None]]:
    """A request field that is also a join key has the key's type."""
    offered = offer(snapshot, project, ref.view, {})
    keys = {ref.join_key_map.get(k, k): t for k, t in offered.keys.items()} if offered else {}
    for wanted in view.request:
        if keys.get(wanted.name, "") not in ("", str(wanted.dtype)):
            clash = f"view {ref.view!r} is keyed by {wanted.name!r} of type {keys[wanted.name]}"
            yield f"request field {wanted.name!r} is {wanted.dtype}, and {clash}.", None


def _names_directly(definition: Definition, change: Change) -> bool:
    """Say whether an object names the one that changes."""
    if change.kind in VIEW_KINDS:
        return any(ref.view == change.name for ref in _view_references(definition))
    if isinstance(definition, FeatureView):
        entities = change.kind == Entity.kind and change.name in definition.entities
        return entities or (change.kind == Source.kind and change.name == definition.source)
    is_batch = isinstance(definition, PushSource) and definition.batch_source == change.name
    return is_batch and change.kind == Source.kind


def _view_references(definition: Definition) -> tuple[ViewReference, ...]:
    if isinstance(definition, OnDemandFeatureView):
        return definition.inputs
    return definition.features if isinstance(definition, FeatureService) else ()


def _problem(rule: str, change: Change, message: str, missing: str | None = None) -> Problem:
    subject = f"{change.kind.replace('_', ' ')} {change.name!r}"
    return Problem(rule=rule, subject=subject, message=message, missing=missing)
