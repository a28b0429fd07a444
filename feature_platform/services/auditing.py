"""Audit: whether what an owner has registered still keeps the rules and matches its repo."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from feature_platform.definitions import Definition, OnDemandFeatureView, kinds
from feature_platform.errors import FeaturePlatformError
from feature_platform.governance import Change, Plan, PlanContext, check
from feature_platform.project import Key, ProjectSnapshot, advisories
from feature_platform.services.key_types import with_key_types
from feature_platform.services.stores import Call, Defined

CHANGED = "changed"
DEPRECATED = "deprecated"


@dataclass(frozen=True)
class AuditFinding:
    """One fault of a registered object, or of an object of the repo.

    Attributes:
        key: The object; kind `registration` and the owner's name for a fault of the whole repo.
        rule: Id of a rule of the registry; `unregistered`, `changed` or `undefined` where registry
            and repo differ; `code` where the registered code is not in the repo; `deprecated`
            where the object reads something deprecated.
        message: Description and remedy.
    """

    key: Key
    rule: str
    message: str

    @property
    def is_warning(self) -> bool:
        """Whether the object still works."""
        return self.rule == DEPRECATED

    def __str__(self) -> str:
        return f"{self.key.subject} {self.message}"


def audit(call: Call, definitions: Defined = None) -> list[AuditFinding]:
    """Check the newest snapshot against the rules, and against what the owner's repo defines.

    It costs about as much as the plan of a first apply, whatever the length of the history.
    """
    owner, project = call.stores.settings.team, call.project
    desired = with_key_types(call, call.defined(definitions))
    findings = [*_broken_rules(call, owner), *_drift(project, owner, desired)]
    differing = {finding.key for finding in findings if finding.rule == CHANGED}
    findings += _altered_code(call, owner, differing)
    findings += [
        AuditFinding(advisory.reader, DEPRECATED, advisory.message)
        for advisory in advisories(project, owner)
        if not advisory.breaks
    ]
    return sorted(findings, key=lambda finding: finding.key)


def _broken_rules(call: Call, owner: str) -> Iterator[AuditFinding]:
    """Check the rules as if all of the owner's objects were registered again as they are."""
    project, version = call.project, call.project.version
    owned = {key: e for key, e in project.owned_by(owner).items() if key.kind in kinds()}
    changes = (
        Change(kind=key.kind, name=key.name, before=entry.body, after=entry.body)
        for key, entry in owned.items()
    )
    plan = Plan(project=project.name, owner=owner, version=version, changes=tuple(changes))
    plan.keep_parsed({e.body: e.definition for e in owned.values() if not e.definition.fault})
    by_subject = {key.subject: key for key in owned}
    whole = Key(project.name, "registration", owner)
    for problem in check(PlanContext.of(plan, project.snapshot, call.now)):
        yield AuditFinding(by_subject.get(problem.subject, whole), problem.rule, problem.message)


def _drift(
    project: ProjectSnapshot, owner: str, definitions: Sequence[Definition]
) -> Iterator[AuditFinding]:
    owned = project.owned_by(owner)
    if not owned:  # nothing was applied yet, which is no drift
        return
    defined = {Key(project.name, d.kind, d.name): d for d in definitions}
    for key, definition in defined.items():
        entry = project.snapshot.entries.get(key)
        if entry is None:
            yield AuditFinding(
                key, "unregistered", "is defined here, but not registered. Apply it."
            )
        elif entry.owner != owner:
            message = f"is defined here, but registered by {entry.owner!r}. Remove it from one."
            yield AuditFinding(key, "ownership", message)
        elif entry.body != definition.to_json():
            message = (
                f"was registered differently in version {entry.version}. Apply this repo, or "
                "update its code."
            )
            yield AuditFinding(key, CHANGED, message)
    for key in sorted(owned.keys() - defined.keys()):
        if key.kind in kinds():
            message = "is registered, but this repo no longer defines it. Apply the whole repo."
            yield AuditFinding(key, "undefined", message)


def _altered_code(call: Call, owner: str, differing: Collection[Key]) -> Iterator[AuditFinding]:
    """Check that the code of registered on-demand views is in the owner's repo."""
    for view, entry in call.project.of(OnDemandFeatureView):
        if entry.owner != owner or view.code is None or entry.key in differing:
            continue
        try:
            call.stores.loader.check(view)
        except FeaturePlatformError as error:
            yield AuditFinding(entry.key, "code", f"cannot be computed: {error}")
