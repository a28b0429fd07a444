"""Contracts: what readers rely on, and the changes that break them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from feature_platform.definitions import (
    Acceptance,
    Dependency,
    FeatureView,
    Share,
    Source,
    View,
    ViewReference,
    namespace_of,
)
from feature_platform.governance.plan import Change
from feature_platform.governance.plan_context import PlanContext
from feature_platform.project import Key, ProjectSnapshot, Registered, broken_references, interface
from feature_platform.project.interface import (
    ViewName,
    ambiguous_names,
    entities_of,
    losses,
)

_MAX_CHANGES_WITHOUT_INDEX = 10
_OWNERS_RIGHT = "a project may end its shares at any time"


@dataclass(frozen=True)
class Effect:
    """The effect of a change on one reader.

    Attributes:
        project: The project of the change.
        change: The change.
        reader: The affected object.
        owner: Owner of the reader.
        kind: `none` if the reader loses nothing. Otherwise the loss: `removed`, `retyped`, `keys`,
            `request`, `ttl`, `source`, `history`, `online`, `ambiguous`, `reference` if a
            dependency is deleted, or `access` if a project no longer shares it.
        message: Description of the loss.
        excuse: Why the loss is allowed: the passed deprecation, or that a share ends; empty if
            it is not.
    """

    project: str
    change: Change
    reader: Key
    owner: str
    kind: str = "none"
    message: str = ""
    excuse: str = ""

    @property
    def breaks(self) -> bool:
        return self.kind != "none"

    def __str__(self) -> str:
        return f"{self.reader.subject} of {self.reader_owner!r}"

    @property
    def reader_owner(self) -> str:
        """The owner of the reader; in another project, with its name."""
        is_here = self.reader.project == self.project
        return self.owner if is_here else f"{self.reader.project}/{self.owner}"


class Contracts:
    """The effects of a plan on readers, in every project.

    Args:
        context: The plan, and the project before and after it. Deprecations are compared with the
            date of `context.now`.
    """

    def __init__(self, context: PlanContext) -> None:
        self.plan = context.plan
        self.before, self.after = context.before, context.after
        self.today = context.now.date()

    def effects(self) -> Iterator[Effect]:
        """Yield the effects on every reader that the plan does not change."""
        changed_keys = {self.plan.key(change) for change in self.plan.changes}
        changed_views = {self._name(change) for change in self.plan.changes if _is_view(change)}
        for change in self.plan.changes:
            if change.before is None and not self._retyped(change):
                continue
            if change.kind in {Share.kind, Acceptance.kind}:
                yield from self._access_effects(change)
                continue
            # Effects through another changed view are attributed to the change of that view.
            changed_view = {self._name(change)} if _is_view(change) else set()
            views = self._affected_views(change) - (changed_views - changed_view)
            for key in self._readers(change, views):
                if key not in changed_keys:
                    yield from self._effects_on(self._entry(key), change, views)

    def _access_effects(self, change: Change) -> Iterator[Effect]:
        """Yield the effects of less access on its readers, and on those who read from them."""
        excuse = _OWNERS_RIGHT if change.kind == Share.kind else ""
        lost: dict[Key, str] = {}
        pending = [entry for entry in self.before.snapshot.entries.values() if _is_reader(entry)]
        while True:
            views = {(key.project, key.name) for key in lost if _is_view(key)}
            losses_ = {entry.key: self._access_loss(entry, views) for entry in pending}
            new = {key: message for key, message in losses_.items() if message and key not in lost}
            if not new:
                break
            lost |= new
        for key, message in sorted(lost.items()):
            yield self._effect(change, self._entry(key), "access", message, excuse)

    def _effect(
        self,
        change: Change,
        entry: Registered,
        kind: str = "none",
        message: str = "",
        excuse: str = "",
    ) -> Effect:
        project = self.plan.project
        return Effect(project, change, entry.key, entry.owner, kind, message, excuse)

    def _access_loss(self, entry: Registered, views: set[ViewName]) -> str:
        """Return what a reader loses, directly or because it reads one of the views."""
        before, after = (p.at(entry.key.project) for p in (self.before, self.after))
        for ref in entry.definition.references:
            if before.may_read(ref) != after.may_read(ref):
                previous = set(broken_references(before, entry.definition))
                for problem in broken_references(after, entry.definition):
                    if problem not in previous:
                        return problem.message.rstrip(".")
                old, new = interface(before, ref), interface(after, ref)
                fewer = old.features.keys() - new.features.keys() if old and new else set()
                if ref.features is None and fewer:
                    return f"{ref.view!r} loses {', '.join(sorted(fewer))}"
                references = entry.definition.references  # more access can be too much
                if clashes := ambiguous_names(after, references) - ambiguous_names(
                    before, references
                ):
                    return f"two of its views would provide {', '.join(sorted(clashes))}"
        through = [ref for ref in entry.definition.references if _view_name(ref, entry) in views]
        return f"it reads {through[0].view!r}, which loses it" if through else ""

    def altered_views(self) -> set[str]:
        """Return the names of the project's views that the plan can affect, even indirectly."""
        views = set().union(*(self._affected_views(change) for change in self.plan.changes))
        return {name for project, name in views if project == self.plan.project}

    def _name(self, change: Change) -> ViewName:
        return self.plan.project, change.name

    def _has_no_access(self, entry: Registered, views: set[ViewName]) -> bool:
        """Return whether a reader of another project may read none of the views any more."""
        if entry.key.project == self.plan.project:
            return False
        reader = self.before.at(entry.key.project)
        refs = [ref for ref in entry.definition.references if _view_name(ref, entry) in views]
        return bool(refs) and not any(reader.may_read(ref).allowed for ref in refs)

    def _is_own(self, entry: Registered) -> bool:
        """Return whether a reader belongs to the owner of the plan, not to its namesake."""
        return (entry.key.project, entry.owner) == (self.plan.project, self.plan.owner)

    def _entry(self, key: Key) -> Registered:
        return self.before.snapshot.entries[key]

    def _mentioning(self, name: str) -> Sequence[Key]:
        """Return objects whose definitions contain a name; indexing pays off for many changes."""
        snapshot = self.before.snapshot
        if len(self.plan.changes) > _MAX_CHANGES_WITHOUT_INDEX:
            return snapshot.mentions.get(name, ())
        word = f'"{name}"'
        return [key for key, entry in snapshot.entries.items() if word in entry.body]

    def _readers(self, change: Change, views: set[ViewName]) -> list[Key]:
        names = {change.name, *(name for _, name in views)}
        return sorted({key for name in names for key in self._mentioning(name)})

    def _effects_on(
        self, entry: Registered, change: Change, views: set[ViewName]
    ) -> Iterator[Effect]:
        is_direct = _depends(entry, self.plan.key(change))
        if not is_direct and not _reads(entry, views):
            return
        if self._has_no_access(entry, views):
            return
        reader_losses = dict.fromkeys(self._losses(entry, change, views, is_direct=is_direct))
        if not reader_losses:
            yield self._effect(change, entry)
        for kind, message, feature in reader_losses:
            # Deprecations do not excuse an owner's own readers: the same plan can update them.
            excuse = "" if self._is_own(entry) else self._excuse(change, feature)
            yield self._effect(change, entry, kind, message, excuse)

    def _losses(
        self, entry: Registered, change: Change, views: set[ViewName], *, is_direct: bool
    ) -> Iterator[tuple[str, str, str]]:
        """Yield (kind, message, feature) for every loss of a reader."""
        if change.after is None and is_direct:
            yield "reference", "it depends on this object", ""
            return
        before, after = (p.at(entry.key.project) for p in (self.before, self.after))
        previous = set(broken_references(before, entry.definition))
        broken = [
            problem
            for problem in broken_references(after, entry.definition)
            if problem not in previous and (problem.view is None or problem.view in views)
        ]
        for problem in sorted(broken, key=str):
            if problem.view and problem.feature:
                message = f"{problem.view[1]!r} loses the feature {problem.feature!r}"
                yield "removed", message, problem.feature
            else:
                yield "reference", problem.message.rstrip("."), ""
        if broken or self._is_own(entry):
            return
        references = entry.definition.references
        new = ambiguous_names(after, references) - ambiguous_names(before, references)
        for name in sorted(new):
            yield "ambiguous", f"two of its views would provide {name!r}", ""
        for ref in references:
            if _view_name(ref, entry) in views:
                yield from self._view_losses(ref, before, after, change)

    def _view_losses(
        self, ref: ViewReference, before: ProjectSnapshot, after: ProjectSnapshot, change: Change
    ) -> Iterator[tuple[str, str, str]]:
        old, new = interface(before, ref), interface(after, ref)
        if old is not None and new is not None:
            for loss in losses(ref, old, new):
                yield loss.kind, loss.message, loss.feature if ref.view == change.name else ""

    def _excuse(self, change: Change, feature: str) -> str:
        previous = self.plan.previous(change)
        deprecations = previous.deprecations() if previous else {}
        relevant = [deprecations.get(name) for name in dict.fromkeys(["", feature])]
        passed = [str(d) for d in relevant if d is not None and d.has_passed(self.today)]
        return passed[0] if passed else ""

    def _affected_views(self, change: Change) -> set[ViewName]:
        views = self._directly_affected(change)
        pending = list(views)
        while pending:
            view = pending.pop()
            for key in self._mentioning(view[1]):
                name = (key.project, key.name)
                if name not in views and _is_view(key) and _reads(self._entry(key), {view}):
                    views.add(name)
                    pending.append(name)
        return views

    def _directly_affected(self, change: Change) -> set[ViewName]:
        """Return the changed view, or the views that use the changed entity or source."""
        if _is_view(change):
            return {self._name(change)} | self._retyped(change)
        views: set[ViewName] = set()
        for key in self._mentioning(change.name):
            if not _depends(self._entry(key), self.plan.key(change)):
                continue
            if _is_view(key):
                views.add((key.project, key.name))
            elif key.kind == Source.kind:  # a push source whose history changes
                views |= {
                    (other.project, other.name)
                    for other in self._mentioning(key.name)
                    if _is_view(other) and _depends(self._entry(other), key)
                }
        return views

    def _retyped(self, change: Change) -> set[ViewName]:
        """Return the other views whose join keys a view gives another type.

        An entity without a type has the one that any view declares; see `key_type`.
        """
        if change.kind != FeatureView.kind:
            return set()
        versions = (p.look_up(FeatureView, change.name) for p in (self.before, self.after))
        views = [view for view in versions if view is not None]
        untyped = {
            entity.name
            for view in views
            for project in (self.before, self.after)
            for entity in entities_of(project, view)
            if entity.value_type is None
        }
        rekeyed = {view for name in untyped for view in self._rekeyed.get(name, ())}
        return rekeyed - {self._name(change)}

    @cached_property
    def _rekeyed(self) -> dict[str, set[ViewName]]:
        """Entity → its views whose join keys have another type after the plan."""
        views: dict[str, set[ViewName]] = {}
        for view, _ in self.before.of(FeatureView):
            if self._keys(self.before, view) != self._keys(self.after, view):
                for name in view.entity_names:
                    views.setdefault(name, set()).add((self.plan.project, view.name))
        return views

    @staticmethod
    def _keys(project: ProjectSnapshot, view: FeatureView) -> object:
        exposed = interface(project, ViewReference(view=view.name, project=project.name))
        return exposed and exposed.keys


def _depends(entry: Registered, key: Key) -> bool:
    dependency = Dependency(key.namespace, key.name, key.project)
    return dependency in _dependencies(entry)


def _reads(entry: Registered, views: Iterable[ViewName]) -> bool:
    return any(_view_name(ref, entry) in views for ref in entry.definition.references)


def _dependencies(entry: Registered) -> set[Dependency]:
    project = entry.key.project
    return {d._replace(project=d.project or project) for d in entry.definition.dependencies()}


def _is_reader(entry: Registered) -> bool:
    return bool(entry.definition.references) and entry.key.kind != Share.kind


def _view_name(ref: ViewReference, entry: Registered) -> ViewName:
    return ref.project or entry.key.project, ref.view


def _is_view(item: Change | Key) -> bool:
    return namespace_of(item.kind) == View.namespace
