"""Apply definitions: plan, review, commit and restore."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from feature_platform.definitions import (
    Definition,
    FeatureService,
    OnDemandFeatureView,
    RequestSource,
    View,
    applicable,
    namespace_of,
)
from feature_platform.errors import (
    ConfigError,
    NotFoundError,
    RefusedError,
    RequestError,
    StoreError,
    abbreviate,
    check_type,
)
from feature_platform.governance import Change, Effect, Plan, PlanContext, check, plans_between
from feature_platform.governance import plan as plan_changes
from feature_platform.project import ProjectSnapshot, online_table
from feature_platform.registry import Commit, SavedPlan
from feature_platform.services.identity import identity_problems
from feature_platform.services.key_types import with_key_types
from feature_platform.services.models import Models, ModelVersion
from feature_platform.services.plan_report import PlanReport, report
from feature_platform.services.stores import Call, Stores
from feature_platform.services.trying import try_functions

Objects = Definition | RequestSource | Iterable[Definition | RequestSource] | None
"""What users pass to plan and apply; `None` for everything that the repo defines."""


class PlanOptions(NamedTuple):
    """How objects are applied; see `FeatureStore.plan`."""

    partial: bool = True
    mass_delete: bool = False
    override: str = ""
    try_functions: bool = True


_DEFAULTS = PlanOptions()


def plan(
    call: Call,
    objects: Objects,
    objects_to_delete: Iterable[Definition] = (),
    options: PlanOptions = _DEFAULTS,
) -> Plan:
    """Compare objects with the registry; see `FeatureStore.plan`."""
    partial, mass_delete, override, is_tried = options
    if not isinstance(override, str) or (override and not override.strip()):
        raise RequestError(f"override is {abbreviate(override)}; pass the reason as text.")
    for name in ("partial", "mass_delete", "try_functions"):
        check_type(getattr(options, name), bool, name)
    repo = call.stores.repo
    desired = applicable(repo.definitions if objects is None else objects)
    if objects is None and not desired and not partial:
        raise ConfigError(
            f"{repo.path} has no definitions, so a full sync would delete all objects of "
            f"{repo.config.team!r}. To delete them all, call teardown."
        )
    desired = with_key_types(call, desired)
    _check_code(call, desired)
    planned = plan_changes(
        call.project,
        owner=repo.config.team,
        desired=desired,
        delete=applicable(objects_to_delete),
        partial=partial,
        mass_delete=mass_delete,
        override=override,
    )
    if is_tried:
        _try_functions(call, planned, desired)
    return planned


def _try_functions(call: Call, planned: Plan, desired: Iterable[Definition]) -> None:
    """Compute the on-demand views that change on sample values."""
    changed = {change.name for change in planned.changes if change.after is not None}
    functions = [
        view for view in desired if isinstance(view, OnDemandFeatureView) and view.name in changed
    ]
    if functions:
        after = PlanContext.of(planned, call.project.snapshot, call.now).after
        try_functions(after, functions)


def _check_code(call: Call, desired: Iterable[Definition]) -> None:
    """Refuse on-demand views whose code is neither in the repo nor registered already."""
    views = [view for view in desired if isinstance(view, OnDemandFeatureView)]
    call.stores.loader.remember(views)
    for view in views:
        registered = call.project.look_up(OnDemandFeatureView, view.name)
        if registered is None or registered.code != view.code:
            call.stores.loader.check(view)


def checked_objects(objects: Objects, *, partial: bool) -> tuple[Definition, ...] | None:
    """Validate the objects to apply; `None` stands for the whole repo.

    Raises:
        RequestError: A full sync without objects would delete all of the owner's.
    """
    desired = None if objects is None else applicable(objects)
    if desired == () and not partial:
        raise RequestError(
            "A full sync without objects would delete everything you own. To delete some objects, "
            "leave partial=True; to delete all, call teardown."
        )
    return desired


def plan_restore(call: Call, at: int | datetime, *, mass_delete: bool = False) -> Plan:
    """Return the plan that registers the owner's objects as they were; see `restore`."""
    check_type(mass_delete, bool, "mass_delete")
    earlier = ProjectSnapshot(call.stores.registry.snapshot(at), call.project.name, call.now)
    if not earlier.version:
        raise RequestError(f"Nothing was registered at {at}; nothing can be restored.")
    owner = call.stores.settings.team
    plans = {each.owner: each for each in plans_between(call.project, earlier)}
    changes = plans[owner].changes if owner in plans else ()
    return Plan(
        project=call.project.name,
        owner=owner,
        version=call.project.version,
        changes=tuple(c for c in changes if _is_own_or_free(call.project, c, owner)),
        full_sync=True,
        mass_delete=mass_delete,
    )


def _is_own_or_free(project: ProjectSnapshot, change: Change, owner: str) -> bool:
    entry = project.find(namespace_of(change.kind), change.name)
    return entry is None or entry.owner == owner


def review(call: Call, plan: Plan, *, costs: bool = True) -> PlanReport:
    """Report a plan's effects and problems; see `FeatureStore.review`."""
    check_type(plan, Plan, "plan")
    online = None
    if costs:
        with suppress(ConfigError):  # a store that cannot be opened here has no costs
            online = call.stores.online
    context = PlanContext.of(plan, call.project.snapshot, call.now)
    reviewed = report(context, lambda: call.stores.offline, online)
    if costs:
        reviewed = replace(reviewed, models=_models_at_risk(call, plan, reviewed.effects))
    problems = tuple(identity_problems(call.stores.settings, plan))
    return replace(reviewed, problems=(*problems, *reviewed.problems)) if problems else reviewed


def _models_at_risk(call: Call, plan: Plan, effects: Iterable[Effect]) -> tuple[ModelVersion, ...]:
    """Return the models that were trained on services which lose something."""
    services = {f"{plan.project}/{c.name}" for c in plan.changes if _loses_features(c)}
    services |= {
        f"{effect.reader.project}/{effect.reader.name}"
        for effect in effects
        if effect.breaks and effect.reader.kind == FeatureService.kind
    }
    models = Models(call.stores.settings, call.stores.repo.path)
    if not services or not models.is_configured:
        return ()
    try:
        return tuple(models.trained_on(services))
    except (ConfigError, StoreError) as error:
        warnings.warn(
            f"The models that were trained on {', '.join(sorted(services))} are not in the "
            f"report: {error}",
            RuntimeWarning,
            stacklevel=4,
        )
        return ()


def _loses_features(change: Change) -> bool:
    """Return whether a service is deleted, or no longer lists something that it did."""
    return change.kind == FeatureService.kind and any(
        feature not in (after if isinstance(after, list) else [])
        for name, before, after in change.differences()
        if name == "features" and isinstance(before, list)
        for feature in before
    )


def commit(
    call: Call,
    plan: Plan | SavedPlan,
    message: str = "",
    client: str = "python",
    commit_id: str = "",
) -> Commit | None:
    """Write a plan; see `FeatureStore.commit`."""
    call.check_not_pinned()
    check_type(plan, (Plan, SavedPlan), "plan")
    changes = plan.plan if isinstance(plan, SavedPlan) else plan
    project, stores = call.project, call.stores
    if changes.project != project.name:
        raise RequestError(f"The plan is for project {changes.project!r}, not {project.name!r}.")
    owner = stores.settings.team
    if problems := list(identity_problems(stores.settings, changes)):
        context = PlanContext.of(changes, project.snapshot, call.now)
        raise RefusedError(changes.owner, changes.project, [*problems, *check(context)])
    written = stores.registry.commit(
        plan,
        principal=owner,
        client=client,
        message=message,
        head=project.snapshot,
        commit_id=commit_id,
    )
    if written is not None:
        deleted = [change for change in changes.changes if change.after is None]
        try:
            _drop_tables(project, stores, deleted)
        except StoreError as error:
            warnings.warn(
                f"Applied as version {written.version}, but online rows of deleted views could "
                f"not be removed: {error} Nothing reads them: if a view with that name is "
                "registered again, it starts without rows.",
                RuntimeWarning,
                stacklevel=3,
            )
    return written


def _drop_tables(project: ProjectSnapshot, stores: Stores, changes: Iterable[Change]) -> None:
    """Remove the online rows of views."""
    if not stores.has_online or stores.online_server is not None:  # the server does it
        return
    # A store that cannot be opened here holds nothing of ours, and a view that refers to an
    # unregistered object is refused.
    with suppress(ConfigError, NotFoundError):
        for change in changes:
            is_view = namespace_of(change.kind) == View.namespace
            view = project.look_up(View, change.name) if is_view else None
            if view and (table := online_table(project, view)):
                stores.online.drop(table)
