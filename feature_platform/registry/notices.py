"""Notices: which of an owner's objects read something that is deprecated."""

from collections.abc import Iterator
from dataclasses import dataclass

from feature_platform.definitions import Deprecation, View
from feature_platform.registry.offers import view_of
from feature_platform.registry.references import upstream, view_references
from feature_platform.registry.snapshot import Key, Snapshot


@dataclass(frozen=True)
class Notice:
    """A deprecation that concerns an object.

    Attributes:
        reader: The object that reads what is deprecated.
        subject: What is deprecated, in words.
        deprecation: From when on it may go, and what to use instead.
    """

    reader: Key
    subject: str
    deprecation: Deprecation

    def __str__(self) -> str:
        name = f"{self.reader.kind.replace('_', ' ')} {self.reader.name!r}"
        return f"{name} reads {self.subject}: {self.deprecation}."


def notices(snapshot: Snapshot, project: str, owner: str) -> Iterator[Notice]:
    """Yield the deprecations that concern an owner's objects, in name order.

    Args:
        snapshot: The registry.
        project: Project of the objects.
        owner: Their owner.
    """
    # Nearly always there are none, and then nothing has to be followed.
    if not any('"deprecated"' in entry.body for entry in snapshot.entries.values()):
        return
    for key, entry in sorted(snapshot.owned_by(project, owner).items()):
        for read in sorted(set(upstream(snapshot, project, entry.definition))):
            notice = snapshot.entries[read].definition.deprecated
            if notice is not None:
                yield Notice(key, f"{read.kind.replace('_', ' ')} {read.name!r}", notice)
        for ref in view_references(entry.definition):
            view = view_of(snapshot, project, ref.view)
            for field in view.fields if isinstance(view, View) else ():
                if field.deprecated and field.name in (ref.features or [field.name]):
                    subject = f"feature {field.name!r} of {ref.view!r}"
                    yield Notice(key, subject, field.deprecated)
