"""The sensor that observes how far the ingestion of streams is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from feature_platform.dagster.repo_context import RepoContext
from feature_platform.definitions import FeatureView, StreamSource
from feature_platform.errors import FeaturePlatformError
from feature_platform.streams import StreamState

_INTERVAL_SECONDS = 60


def streamed_views(target: RepoContext) -> dict[str, list[FeatureView]]:
    """Return stream source → views of it; empty if the repo's settings name no broker."""
    if target.repo.config.broker is None:
        return {}
    definitions = target.objects.values()
    streams = [d.name for d in definitions if isinstance(d, StreamSource)]
    views = [d for d in definitions if isinstance(d, FeatureView)]
    return {name: [view for view in views if view.source == name] for name in streams}


def stream_sensor(
    target: RepoContext, streams: Mapping[str, Sequence[FeatureView]]
) -> dg.SensorDefinition:
    """Build the sensor that observes streams on the views that are pushed from them.

    An observation is emitted when something has changed: messages that are not stored yet,
    messages put aside, the age of the newest one. They have plots in Dagster.

    Args:
        target: The repo.
        streams: Stream source → views of it.
    """

    @dg.sensor(
        name=f"observe_streams_{target.name}",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Observes how far the ingestion of streams is.",
    )
    def observe(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        events: list[dg.AssetObservation] = []
        problems = []
        states = {}
        with target.open() as store:
            project = store.load_project()
            for source, views in streams.items():
                try:
                    state = store.stream_state(source)
                except FeaturePlatformError as error:
                    problems.append(str(error))
                    continue
                states[source] = state
                metadata = _metadata(source, state)
                registered = [view for view in views if target.owns(project, view)]
                keys = [target.key(view.kind, view.name) for view in registered]
                events += [dg.AssetObservation(key, metadata=metadata) for key in keys]
        cursor = repr(sorted(states.items()))
        if cursor == context.cursor:
            events = []
        reason = " ".join(problems) or ("" if events else "Nothing has changed.")
        return dg.SensorResult(asset_events=events, skip_reason=reason or None, cursor=cursor)

    return observe


def _metadata(source: str, state: StreamState) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "stream": dg.MetadataValue.text(source),
        "rejected_messages": dg.MetadataValue.int(state.rejected),
    }
    if state.unread is not None:
        metadata["unread_messages"] = dg.MetadataValue.int(state.unread)
    if state.last_message is not None:
        age = max((datetime.now(UTC) - state.last_message).total_seconds(), 0.0)
        metadata["last_message"] = dg.MetadataValue.timestamp(state.last_message)
        metadata["last_message_age_seconds"] = dg.MetadataValue.float(age)
    return metadata
