"""Advisories: deprecations and breakages upstream of an owner's objects."""

from collections.abc import Iterator
from dataclasses import dataclass

from feature_platform.definitions import View, kinds_in
from feature_platform.project.interface import ViewName
from feature_platform.project.project_snapshot import ProjectSnapshot
from feature_platform.project.references import broken_references, upstream
from feature_platform.project.snapshot import Key, Registered


@dataclass(frozen=True)
class Advisory:
    """A breakage or a deprecation upstream of an object (the reader)."""

    reader: Key
    message: str
    breaks: bool = False

    @property
    def subject(self) -> str:
        return self.reader.subject

    def __str__(self) -> str:
        return f"{self.subject} {self.message}"


def advisories(project: ProjectSnapshot, owner: str) -> Iterator[Advisory]:
    """Yield the advisories of an owner, in name order."""
    # Usually nothing is deprecated, and no dependency needs to be resolved.
    entries = project.snapshot.entries.values()
    any_deprecated = any('"deprecated"' in entry.body for entry in entries)
    for key, entry in sorted(project.owned_by(owner).items()):
        for broken in broken_references(project, entry.definition):
            cause = _cause(project, broken.view) if broken.view else ""
            message = f"is broken: {broken.message.rstrip('.')}{cause}"
            ending = "" if message.endswith("?") else "."
            yield Advisory(key, f"{message}{ending}", breaks=True)
        if any_deprecated:
            yield from _deprecations(project, entry)


def _deprecations(project: ProjectSnapshot, entry: Registered) -> Iterator[Advisory]:
    for key in sorted(upstream(project, entry.definition)):
        deprecated = project.snapshot.entries[key].definition.deprecated
        if deprecated is not None:
            yield Advisory(entry.key, f"reads {key.subject}: {deprecated}.")
    for ref in entry.definition.references:
        view = project.find_view(ref)
        for name, deprecation in view.deprecations().items() if view else ():
            if name and name in (ref.features or [name]):
                feature = f"feature {name!r} of {ref.view!r}"
                yield Advisory(entry.key, f"reads {feature}: {deprecation}.")


def _cause(project: ProjectSnapshot, name: ViewName) -> str:
    """Return a hint that names the last change or the deletion of a view."""
    if not project.may_read_object(Key(name[0], View.namespace, name[1])).allowed:
        return ""
    for kind in kinds_in(View.namespace):
        key = Key(name[0], kind, name[1])
        if entry := project.snapshot.entries.get(key):
            return f" ({entry.owner!r} changed it in version {entry.version})"
        if removed := project.snapshot.removed.get(key):
            return f" ({removed.owner!r} deleted it on {removed.at:%F})"
    return ""
