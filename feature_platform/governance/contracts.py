"""Contracts: what readers rely on, which change takes it away, and when it may."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from feature_platform.definitions import (
    Dependency,
    Source,
    View,
    ViewReference,
    namespace_of,
)
from feature_platform.governance.plan import Change
from feature_platform.governance.plan_context import PlanContext
from feature_platform.project import (
    Key,
    Project,
    Registered,
    broken_references,
    interface,
)
from feature_platform.project.interface import ViewName, ambiguous_names, losses

_FEW = 10


@dataclass(frozen=True)
class Effect:
    """What a change does to one object that reads what changes.

    Attributes:
        change: The change.
        reader: The object.
        owner: Its owner.
        kind: `none` if the reader keeps all it relies on. Otherwise how it breaks: `removed`,
            `retyped`, `keys`, `request`, `ttl`, `source`, `history`, `online`, `ambiguous`, or
            `reference` where it would name a deleted object.
        message: What breaks.
        excuse: Why it may break: the deprecation whose date has passed.
    """

    change: Change
    reader: Key
    owner: str
    kind: str = "none"
    message: str = ""
    excuse: str = ""

    @property
    def breaks(self) -> bool:
        """Whether the reader loses something it relies on."""
        return self.kind != "none"

    def __str__(self) -> str:
        return f"{self.reader.subject} of {self.owner!r}"


class Contracts:
    """What a plan does to the readers of what it changes, in every project.

    Args:
        context: The plan, and the project before and after it. Deprecations are compared with the
            day of `context.now`.
    """

    def __init__(self, context: PlanContext) -> None:
        self.plan = context.plan
        self.before, self.after = context.before, context.after
        self.today = context.now.date()

    def effects(self) -> Iterator[Effect]:
        """Yield what happens to every reader that the plan does not change itself."""
        changed_keys = {self.plan.key(change) for change in self.plan.changes}
        changed_views = {self._name(change) for change in self.plan.changes if _is_view(change)}
        for change in self.plan.changes:
            if change.before is None:
                continue
            # What happens to a view that the plan changes itself is an effect of that change.
            itself = {self._name(change)} if _is_view(change) else set()
            views = self._affected_views(change) - (changed_views - itself)
            for key in self._readers(change, views):
                if key not in changed_keys:
                    yield from self._effects_on(self._entry(key), change, views)

    def altered_views(self) -> set[str]:
        """Return the project's views that the plan can alter, directly or through others."""
        views = set().union(*(self._affected_views(change) for change in self.plan.changes))
        return {name for project, name in views if project == self.plan.project}

    def _name(self, change: Change) -> ViewName:
        return self.plan.project, change.name

    def _entry(self, key: Key) -> Registered:
        return self.before.snapshot.entries[key]

    def _mentioning(self, name: str) -> Sequence[Key]:
        """Return the objects whose definitions contain a name.

        For a few names, searching every definition is faster than indexing them all.
        """
        snapshot = self.before.snapshot
        if len(self.plan.changes) > _FEW:
            return snapshot.mentions.get(name, ())
        word = f'"{name}"'
        return [key for key, entry in snapshot.entries.items() if word in entry.body]

    def _readers(self, change: Change, views: set[ViewName]) -> list[Key]:
        """Return the objects that may name the changed object or a view that it alters."""
        names = {change.name, *(name for _, name in views)}
        return sorted({key for name in names for key in self._mentioning(name)})

    def _effects_on(
        self, entry: Registered, change: Change, views: set[ViewName]
    ) -> Iterator[Effect]:
        names_it = self._names(entry, change)
        if not names_it and not _reads(entry, views):
            return
        losses_ = dict.fromkeys(self._losses(entry, change, views, names_it=names_it))
        if not losses_:
            yield Effect(change, entry.key, entry.owner)
        for kind, message, feature in losses_:
            # An owner can change its own readers in the same plan.
            excuse = self._excuse(change, feature) if entry.owner != self.plan.owner else ""
            yield Effect(change, entry.key, entry.owner, kind, message, excuse)

    def _losses(
        self, entry: Registered, change: Change, views: set[ViewName], *, names_it: bool
    ) -> Iterator[tuple[str, str, str]]:
        """Yield (kind, message, feature) for everything a reader loses."""
        if change.after is None and names_it:
            yield "reference", "it reads this", ""
            return
        before, after = (p.at(entry.key.project) for p in (self.before, self.after))
        already = set(broken_references(before, entry.definition))
        broken = [
            problem
            for problem in broken_references(after, entry.definition)
            if problem not in already and (problem.view is None or problem.view in views)
        ]
        for problem in sorted(broken, key=str):
            if problem.view and problem.feature:
                message = f"{problem.view[1]!r} loses the feature {problem.feature!r}"
                yield "removed", message, problem.feature
            else:
                yield "reference", problem.message.rstrip("."), ""
        if broken or entry.owner == self.plan.owner:
            return
        references = entry.definition.references
        new = ambiguous_names(after, references) - ambiguous_names(before, references)
        for name in sorted(new):
            yield "ambiguous", f"{name!r} would come from two of the views it reads", ""
        for ref in references:
            if _view_name(ref, entry) in views:
                yield from self._view_losses(ref, before, after, change)

    def _view_losses(
        self, ref: ViewReference, before: Project, after: Project, change: Change
    ) -> Iterator[tuple[str, str, str]]:
        old, new = interface(before, ref), interface(after, ref)
        if old is not None and new is not None:
            for loss in losses(ref, old, new):
                yield loss.kind, loss.message, loss.feature if ref.view == change.name else ""

    def _excuse(self, change: Change, feature: str) -> str:
        """Return the deprecation that has passed, of the object or of the one feature."""
        previous = self.plan.previous(change)
        deprecations = previous.deprecations() if previous else {}
        relevant = [deprecations.get(name) for name in dict.fromkeys(["", feature])]
        passed = [str(d) for d in relevant if d is not None and d.has_passed(self.today)]
        return passed[0] if passed else ""

    def _affected_views(self, change: Change) -> set[ViewName]:
        """Return the views that a change can alter, those that read it indirectly included."""
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
        """Return the views that are, or that name, the changed object, also through a source."""
        if _is_view(change):
            return {self._name(change)}
        views: set[ViewName] = set()
        for key in self._mentioning(change.name):
            if not self._names(self._entry(key), change):
                continue
            if _is_view(key):
                views.add((key.project, key.name))
            elif key.kind == Source.kind:  # a push source, of which this is the history
                views |= {
                    (other.project, other.name)
                    for other in self._mentioning(key.name)
                    if _is_view(other) and _depends(self._entry(other), key)
                }
        return views

    def _names(self, entry: Registered, change: Change) -> bool:
        """Say whether an object names the one that changes."""
        return _depends(entry, self.plan.key(change))


def _depends(entry: Registered, key: Key) -> bool:
    """Say whether an object names the one of a key."""
    dependency = Dependency(key.namespace, key.name, key.project)
    return dependency in _dependencies(entry)


def _reads(entry: Registered, views: Iterable[ViewName]) -> bool:
    """Say whether an object reads one of some views."""
    return any(_view_name(ref, entry) in views for ref in entry.definition.references)


def _dependencies(entry: Registered) -> set[Dependency]:
    """Return what an object names, with the project of each."""
    project = entry.key.project
    return {d._replace(project=d.project or project) for d in entry.definition.dependencies()}


def _view_name(ref: ViewReference, entry: Registered) -> ViewName:
    return ref.project or entry.key.project, ref.view


def _is_view(item: Change | Key) -> bool:
    return namespace_of(item.kind) == View.namespace
