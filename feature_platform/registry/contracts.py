"""Contracts: what readers rely on, which change takes it away, and when it may."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from feature_platform.definitions import (
    Definition,
    Entity,
    FeatureView,
    OnDemandFeatureView,
    PushSource,
    Source,
)
from feature_platform.registry.offers import Known, ambiguous, differences, offer
from feature_platform.registry.plan import Change
from feature_platform.registry.proposal import Proposal
from feature_platform.registry.references import broken_references, view_references
from feature_platform.registry.snapshot import VIEW_KINDS, Key, Registered

D = TypeVar("D", bound=Definition)

_FEW = 10


@dataclass(frozen=True)
class Effect:
    """What a change does to one object that reads what changes.

    Attributes:
        change: The change.
        reader: The object.
        owner: Whose it is.
        kind: `none` where the reader keeps all it relies on. Otherwise how it is broken: `removed`,
            `retyped`, `keys`, `request`, `ttl`, `source`, `history`, `online`, `ambiguous`, or
            `reference` where it would name something that is gone.
        message: What breaks.
        excuse: Why it may be broken all the same: the deprecation whose date has passed.
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
        return f"{self.reader.kind.replace('_', ' ')} {self.reader.name!r} of {self.owner!r}"


class Contracts:
    """What a plan does to the readers of what it changes.

    Args:
        proposal: The plan, and the registry before and after it. Deprecations are compared with
            the day on which it would be committed.
    """

    def __init__(self, proposal: Proposal) -> None:
        self.plan = proposal.plan
        self.before, self.after = proposal.before, proposal.after
        self.today = proposal.now.date()
        self._offers_before: Known = {}
        self._offers_after: Known = {}

    def effects(self) -> Iterator[Effect]:
        """Yield what happens to every reader that the plan does not change itself."""
        own = {self.plan.key(change) for change in self.plan.changes}
        changed = {change.name for change in self.plan.changes if change.kind in VIEW_KINDS}
        for change in self.plan.changes:
            if change.before is None:
                continue
            # What happens to a view that the plan changes itself is that change's doing.
            itself = {change.name} if change.kind in VIEW_KINDS else set()
            views = self._affected_views(change) - (changed - itself)
            for key in self._readers(change, views):
                if key not in own:
                    yield from self._effects_on(change, views, self.before.entries[key])

    def altered_views(self) -> set[str]:
        """Return the views that the plan can alter, those that read others included."""
        return set().union(*(self._affected_views(change) for change in self.plan.changes))

    def _mentioning(self, name: str) -> Sequence[Key]:
        """Return the objects that may name something.

        A few names are looked for quicker than all are indexed.
        """
        if len(self.plan.changes) > _FEW:
            return self.before.mentions.get(name, ())
        word = f'"{name}"'
        return [key for key, entry in self.before.entries.items() if word in entry.body]

    def _readers(self, change: Change, views: set[str]) -> list[Key]:
        """Return the objects that may name the changed object or a view that it alters."""
        found = {key for name in {change.name, *views} for key in self._mentioning(name)}
        return sorted(key for key in found if key.project == self.plan.project)

    def _effects_on(self, change: Change, views: set[str], entry: Registered) -> Iterator[Effect]:
        reader = entry.definition
        reads = any(ref.view in views for ref in view_references(reader))
        if not reads and not _names(reader, change):
            return
        found = list(dict.fromkeys(self._losses(change, views, entry)))
        if not found:
            yield Effect(change, entry.key, entry.owner)
        for kind, message, feature in found:
            # Its own readers an owner can change in the same plan.
            excuse = self._excuse(change, feature) if entry.owner != self.plan.owner else ""
            yield Effect(change, entry.key, entry.owner, kind, message, excuse)

    def _losses(
        self, change: Change, views: set[str], entry: Registered
    ) -> Iterator[tuple[str, str, str]]:
        """Yield (kind, message, feature) for everything a reader loses."""
        reader, project = entry.definition, self.plan.project
        if change.after is None and _names(reader, change):
            yield "reference", "it reads this", ""
            return
        held = set(broken_references(self.before, project, reader))
        now = broken_references(self.after, project, reader)
        lost = [b for b in now if b not in held and (not b.view or b.view in views)]
        for broken in sorted(lost):
            if broken.feature:
                message = f"{broken.view!r} loses the feature {broken.feature!r}"
                yield "removed", message, broken.feature
            else:
                yield "reference", broken.message.rstrip("."), ""
        if lost or entry.owner == self.plan.owner:
            return
        wanted = view_references(reader)
        was = ambiguous(self.before, project, wanted, self._offers_before)
        for name in sorted(ambiguous(self.after, project, wanted, self._offers_after) - was):
            yield "ambiguous", f"{name!r} would come from two of the views it reads", ""
        for ref in wanted:
            before = offer(self.before, project, ref.view, self._offers_before)
            after = offer(self.after, project, ref.view, self._offers_after)
            if ref.view in views and before is not None and after is not None:
                for loss in differences(ref, before, after):
                    yield loss.kind, loss.message, loss.feature if ref.view == change.name else ""

    def _excuse(self, change: Change, feature: str) -> str:
        """Return the deprecation that has passed, of the object or of the one feature."""
        previous = change.previous
        notices = [previous.deprecated] if previous else []
        if feature and isinstance(previous, (FeatureView, OnDemandFeatureView)):
            notices += [f.deprecated for f in previous.fields if f.name == feature]
        passed = [str(n) for n in notices if n is not None and n.has_passed(self.today)]
        return passed[0] if passed else ""

    def _affected_views(self, change: Change) -> set[str]:
        """Return the views that a change can alter, those that read it indirectly included."""
        views = self._directly_affected(change)
        todo = list(views)
        while todo:
            name = todo.pop()
            for key in self._mentioning(name):
                if key.project != self.plan.project or key.kind != OnDemandFeatureView.kind:
                    continue
                reader = self.before.entries[key].definition
                reads = any(ref.view == name for ref in view_references(reader))
                if reads and reader.name not in views:
                    views.add(reader.name)
                    todo.append(reader.name)
        return views

    def _directly_affected(self, change: Change) -> set[str]:
        if change.kind in VIEW_KINDS:
            return {change.name}
        if change.kind == Entity.kind:
            views = self._naming(change.name, FeatureView)
            return {view.name for view in views if change.name in view.entities}
        if change.kind != Source.kind:
            return set()
        pushes = self._naming(change.name, PushSource)
        sources = {change.name, *(p.name for p in pushes if p.batch_source == change.name)}
        views = [view for name in sources for view in self._naming(name, FeatureView)]
        return {view.name for view in views if view.source in sources}

    def _naming(self, name: str, kind: type[D]) -> list[D]:
        """Return the definitions of a kind that may name something."""
        keys = self._mentioning(name)
        same = [key for key in keys if key.project == self.plan.project and key.kind == kind.kind]
        found = [self.before.entries[key].definition for key in same]
        return [definition for definition in found if isinstance(definition, kind)]


def _names(reader: Definition, change: Change) -> bool:
    """Say whether an object names the one that changes."""
    if change.kind in VIEW_KINDS:
        return any(ref.view == change.name for ref in view_references(reader))
    if isinstance(reader, FeatureView):
        entities = change.kind == Entity.kind and change.name in reader.entities
        return entities or (change.kind == Source.kind and change.name == reader.source)
    is_batch = isinstance(reader, PushSource) and reader.batch_source == change.name
    return is_batch and change.kind == Source.kind
