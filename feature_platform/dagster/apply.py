"""Apply a repo in one step and one commit, and emit only what changed."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

import dagster as dg

from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.dagster.specs import asset_key, object_spec
from feature_platform.definitions import Definition, with_related
from feature_platform.errors import DefinitionError, Problem, RefusedError
from feature_platform.governance import Change
from feature_platform.project import Advisory, subject
from feature_platform.registry import Commit
from feature_platform.repo import Repo
from feature_platform.store import FeatureStore

CHECK = "registry_rules"
DEPRECATIONS = "reads_nothing_deprecated"
_DATA_VERSION = "dagster/data_version"

Events: TypeAlias = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]
Objects: TypeAlias = Mapping[dg.AssetKey, Definition]


def apply_assets(repo: Repo) -> dg.AssetsDefinition:
    """Build the step that registers the definitions of a repo.

    Selecting all its assets is a full sync of the owner's objects; selecting some applies those.
    Ownership, references and contracts are checked before anything is written: a refused plan is
    a failed blocking check on each object at fault, nothing is committed and nothing downstream
    runs.
    """
    project, owner = repo.config.project, repo.config.team
    definitions = {asset_key(project, d): d for d in with_related(repo.definitions)}
    specs = _upstream_first([object_spec(project, owner, d) for d in definitions.values()])
    objects = {spec.key: definitions[spec.key] for spec in specs}

    @dg.multi_asset(
        name=f"register_{owner}",
        specs=specs,
        check_specs=[
            *(dg.AssetCheckSpec(CHECK, asset=key, blocking=True) for key in objects),
            *(dg.AssetCheckSpec(DEPRECATIONS, asset=key) for key in objects),
        ],
        can_subset=True,
    )
    def register(context: dg.AssetExecutionContext, feature_store: FeatureStoreResource) -> Events:
        selected = {k: d for k, d in objects.items() if k in context.selected_asset_keys}
        partial = len(selected) < len(objects)
        with feature_store.open() as store:
            yield from _register(context, store, selected, partial=partial)

    return register


def _upstream_first(specs: Sequence[dg.AssetSpec]) -> list[dg.AssetSpec]:
    """Sort specs by dependency, the order in which Dagster expects events."""
    by_key = {spec.key: spec for spec in specs}
    graph = {spec.key: [dep.asset_key for dep in spec.deps] for spec in specs}
    try:
        order = TopologicalSorter(graph).static_order()
        return [by_key[key] for key in order if key in by_key]
    except CycleError as error:
        path = " → ".join(key.path[-1] for key in error.args[1])
        raise DefinitionError(f"On-demand views form a dependency cycle: {path}.") from None


def _register(
    context: dg.AssetExecutionContext, store: FeatureStore, selected: Objects, *, partial: bool
) -> Events:
    plan = store.plan(list(selected.values()), partial=partial)
    report = store.review(plan, costs=False)
    if problems := report.problems:
        yield from _refused(selected, problems)
        refused = RefusedError(plan.owner, plan.project, problems)
        raise dg.Failure(str(refused), metadata=_problem_table(problems), allow_retries=False)
    commit = store.commit(plan, client="dagster", message=f"Dagster run {context.run_id}")
    version = commit.version if commit else store.snapshot().version
    context.log.info(
        f"Applied version {version}: {commit.summary()}." if commit else "Nothing changed."
    )
    changes = {(c.kind, c.name): c for c in plan.changes}
    for key in _to_emit(context, selected, by_name=partial):
        definition = selected[key]
        change = changes.get((definition.kind, definition.name))
        yield _result(key, definition, change, commit, version)
        yield dg.AssetCheckResult(asset_key=key, check_name=CHECK, passed=True)
    yield from _deprecations(selected, report.advisories)


def _to_emit(
    context: dg.AssetExecutionContext, selected: Objects, *, by_name: bool
) -> list[dg.AssetKey]:
    """Return the selected assets, or those whose newest state Dagster has not seen."""
    if by_name:
        return list(selected)
    seen = context.instance.get_latest_materialization_events(list(selected))
    stale = []
    for key, definition in selected.items():
        event = seen.get(key)
        materialization = event.asset_materialization if event else None
        tags = (materialization.tags if materialization else None) or {}
        if tags.get(_DATA_VERSION) != definition.digest():
            stale.append(key)
    return stale


def _result(
    key: dg.AssetKey,
    definition: Definition,
    change: Change | None,
    commit: Commit | None,
    version: int,
) -> dg.MaterializeResult[None]:
    metadata: dict[str, dg.MetadataValue] = {
        "registry_version": dg.MetadataValue.int(version),
        "action": dg.MetadataValue.text(change.action if change else "unchanged"),
    }
    if commit:
        metadata["commit_id"] = dg.MetadataValue.text(commit.commit_id)
    if change and change.action == "update":
        differences = {n: {"before": b, "after": a} for n, b, a in change.differences()}
        metadata["difference"] = dg.MetadataValue.json(differences)
    return dg.MaterializeResult(
        asset_key=key, metadata=metadata, data_version=dg.DataVersion(definition.digest())
    )


def _deprecations(
    selected: Objects, advisories: Sequence[Advisory]
) -> Iterator[dg.AssetCheckResult]:
    """Warn on every object that reads something deprecated, with its replacement."""
    concerned: dict[dg.AssetKey, list[str]] = {key: [] for key in selected}
    by_object = {(d.kind, d.name): key for key, d in selected.items()}
    for advisory in advisories:
        if (key := by_object.get(advisory.reader[1:])) is not None:
            concerned[key].append(str(advisory))
    for key, messages in concerned.items():
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=DEPRECATIONS,
            passed=not messages,
            severity=dg.AssetCheckSeverity.WARN,
            description=" ".join(messages) or None,
        )


def _refused(selected: Objects, problems: Sequence[Problem]) -> Iterator[dg.AssetCheckResult]:
    for key, definition in selected.items():
        label = subject(definition.kind, definition.name)
        reasons = [problem for problem in problems if problem.subject == label]
        if reasons:
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=CHECK,
                passed=False,
                description=" ".join(problem.message for problem in reasons),
                metadata=_problem_table(reasons),
            )


def _problem_table(problems: Sequence[Problem]) -> dict[str, dg.MetadataValue]:
    records = [
        dg.TableRecord({"rule": p.rule, "object": p.subject, "problem": p.message})
        for p in problems
    ]
    return {"problems": dg.MetadataValue.table(records)}
