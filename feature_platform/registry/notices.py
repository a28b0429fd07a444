"""Notices: what an owner should know of the objects that its own ones read."""

from collections.abc import Iterator
from dataclasses import dataclass

from feature_platform.definitions import View
from feature_platform.registry.offers import view_of
from feature_platform.registry.references import broken_references, upstream, view_references
from feature_platform.registry.snapshot import VIEW_KINDS, Key, Registered, Snapshot


@dataclass(frozen=True)
class Notice:
    """Something that concerns an object, and that others did.

    Attributes:
        reader: The object.
        message: What it reads, and what is the matter with that.
    """

    reader: Key
    message: str

    @property
    def subject(self) -> str:
        """The object, as messages name it."""
        return f"{self.reader.kind.replace('_', ' ')} {self.reader.name!r}"

    def __str__(self) -> str:
        return f"{self.subject} {self.message}"


def notices(snapshot: Snapshot, project: str, owner: str) -> Iterator[Notice]:
    """Yield what is broken or deprecated under an owner's objects, in name order.

    References break where the platform overrides a contract, or a deprecation's date has passed.

    Args:
        snapshot: The registry.
        project: Project of the objects.
        owner: Their owner.
    """
    # Nearly always nothing is deprecated, and then nothing has to be followed.
    any_deprecated = any('"deprecated"' in entry.body for entry in snapshot.entries.values())
    for key, entry in sorted(snapshot.owned_by(project, owner).items()):
        for broken in broken_references(snapshot, project, entry.definition):
            doing = _whose_doing(snapshot, project, broken.view)
            told = f"is broken: {broken.message.rstrip('.')}{doing}"
            yield Notice(key, told if told.endswith("?") else f"{told}.")
        if any_deprecated:
            yield from _deprecations(snapshot, project, entry)


def _deprecations(snapshot: Snapshot, project: str, entry: Registered) -> Iterator[Notice]:
    for read in sorted(set(upstream(snapshot, project, entry.definition))):
        notice = snapshot.entries[read].definition.deprecated
        if notice is not None:
            what = f"{read.kind.replace('_', ' ')} {read.name!r}"
            yield Notice(entry.key, f"reads {what}: {notice}.")
    for ref in view_references(entry.definition):
        view = view_of(snapshot, project, ref.view)
        for field in view.fields if isinstance(view, View) else ():
            if field.deprecated and field.name in (ref.features or [field.name]):
                what = f"feature {field.name!r} of {ref.view!r}"
                yield Notice(entry.key, f"reads {what}: {field.deprecated}.")


def _whose_doing(snapshot: Snapshot, project: str, view: str) -> str:
    for kind in VIEW_KINDS:
        key = Key(project, kind, view)
        if entry := snapshot.entries.get(key):
            return f" ({entry.owner!r} changed it in version {entry.version})"
        if removed := snapshot.removed.get(key):
            return f" ({removed.owner!r} removed it on {removed.at:%F})"
    return ""
