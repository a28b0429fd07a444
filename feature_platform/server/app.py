"""The application: what each path does, for whom."""

from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from feature_platform.config import RepoConfig
from feature_platform.definitions import OnDemandFeatureView, is_identifier
from feature_platform.errors import FeaturePlatformError, RequestError, StoreError
from feature_platform.retrieval import MOST_ONLINE_ROWS
from feature_platform.server import feast_format
from feature_platform.server.authentication import Authenticator, DeniedError, Principal
from feature_platform.server.http import Admit, Endpoint, Gate, answered, failed, parsed, unrouted
from feature_platform.server.keys import SCOPES, KeyStore
from feature_platform.server.registry import READS, commit
from feature_platform.server.streaming import StreamedRows
from feature_platform.server.tracing import Tracing
from feature_platform.server_client import ARROW, JSON, PROJECT_HEADER
from feature_platform.services import remote, writing
from feature_platform.services.loading import DEFAULT_LOOKBACK
from feature_platform.services.stores import Stores
from feature_platform.services.writing import PushMode
from feature_platform.store import FeatureStore

_MIB: Final = 1 << 20
_UNKNOWN: Final = "ignore_unknown"
_MOST_STORES: Final = 1000
Verb = Callable[[FeatureStore, Request, bytes], Response]


class FeatureServer:
    """Serves the projects of one registry.

    Args:
        folder: The repo folder of the server, whose settings name the stores of all projects.

    Raises:
        ConfigError: A setting is missing or wrong.
    """

    def __init__(self, folder: Path) -> None:
        self._store = FeatureStore(folder)
        self.settings: RepoConfig = self._store.config
        options = self.settings.server
        self.is_open = not options.keys and options.oidc is None
        everybody = Principal("open", self.settings.team, (), frozenset(SCOPES))
        keys = KeyStore(self._store.repo.path / options.keys) if options.keys else None
        self._authenticator = Authenticator(
            keys, options.oidc, everybody if self.is_open else None, options.requests_per_second
        )
        self._gate = Gate(
            max_body=options.max_body_mb * _MIB,
            max_seconds=options.max_seconds,
            max_concurrent=options.max_concurrent,
            threads=options.threads,
        )
        self._tracing = Tracing(options.traces) if options.traces else None
        self._stores: dict[tuple[str, str], FeatureStore] = {}

    @property
    def stores(self) -> Stores:
        """The stores of the server's repo."""
        return self._store.stores

    def app(self) -> Starlette:
        """Return the application."""
        read, write = "features:read", "features:write"
        posts: dict[str, tuple[str, Verb]] = {
            "/get-online-features": (read, _feast_online),
            "/push": (write, _feast_push),
            "/write-to-online-store": (write, _feast_write),
            "/materialize": (write, _feast_materialize),
            "/materialize-incremental": (write, _feast_incremental),
            "/v1/online-features": (read, _online),
            "/v1/training-set": (read, _training_set),
            "/v1/write-online": (write, _rows_verb("write_to_online_store", _UNKNOWN)),
            "/v1/write-offline": (write, _rows_verb("write_to_offline_store", _UNKNOWN)),
            "/v1/delete-online": (write, _rows_verb("delete_from_online_store")),
            "/v1/push": (write, _push),
            "/v1/materialize": (write, _materialize),
            "/v1/materialize-incremental": (write, _incremental),
            "/v1/registry/commits": ("registry:apply", commit),
        }
        gets: dict[str, tuple[str, Verb]] = {
            f"/v1/registry/{name}": ("registry:read", verb) for name, verb in READS.items()
        }
        routes = [
            Route(path, self._endpoint(path, scope, verb), methods=[method])
            for method, paths in (("POST", posts), ("GET", gets))
            for path, (scope, verb) in paths.items()
        ]
        routes += [
            Route("/v1/caller", self._gate.endpoint("/v1/caller", _caller, self._admission())),
            Route("/health", _healthy),
            Route("/health/live", _healthy),
            Route("/health/ready", self._gate.endpoint("/health/ready", self._ready)),
            Route("/metrics", self._metrics),
        ]
        traced = self._tracing.middleware if self._tracing else []
        return Starlette(
            routes=routes,
            middleware=traced,
            exception_handlers={404: unrouted, 405: unrouted},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> Any:
        await to_thread.run_sync(self._warm)
        yield
        self._store.close()
        if self._tracing:
            self._tracing.close()

    def _warm(self) -> None:
        """Open what requests need, so that none of them waits for it.

        What fails here is answered to the requests that need it.
        """
        import pandas  # noqa: F401, ICN001 - Arrow does with the first values, which takes a second

        with suppress(FeaturePlatformError):
            snapshot = self._store.snapshot()
            if self.stores.has_online:
                self.stores.online  # noqa: B018 - opens it
            owners = {
                (key.project, entry.owner)
                for key, entry in snapshot.entries.items()
                if isinstance(entry.definition, OnDemandFeatureView)
                and entry.definition.mode != "sql"
            }
            for project, owner in sorted(owners):
                home = self.stores.of(project)
                if owner in home.settings.repos:
                    home.workers.get().start(owner)

    def _endpoint(self, path: str, scope: str, verb: Verb) -> Endpoint:
        def handle(request: Request, body: bytes) -> Response:
            state = request.state
            return verb(self._store_of(state.project, state.caller), request, body)

        return self._gate.endpoint(path, handle, self._admission(scope))

    def _admission(self, scope: str = "") -> Admit:
        """Return what admits the requests of principals with a scope, or with any key."""

        async def admit(request: Request) -> None:
            principal = await self._authenticator.principal(request.headers.get("authorization"))
            request.state.principal = principal.id
            request.state.caller = principal
            request.state.project = project = self._project(request, principal)
            principal.check(project, scope)

        return admit

    def _project(self, request: Request, principal: Principal) -> str:
        """Return the project of a request: that of its header, or the only one of its key."""
        named = request.headers.get(PROJECT_HEADER, "")
        if named:
            if not is_identifier(named):
                raise DeniedError(400, f"{PROJECT_HEADER} is not the name of a project.")
            return named
        if len(principal.projects) == 1:
            return principal.projects[0]
        if principal.projects:
            raise DeniedError(400, f"Name the project in the header {PROJECT_HEADER}.")
        return self.settings.project

    def _store_of(self, project: str, principal: Principal) -> FeatureStore:
        """Return the feature store of a project for an owner."""
        key = (project, principal.owner)
        store = self._stores.get(key)
        if store is None:
            stores = self.stores.acting_for(project, principal.owner)
            store = FeatureStore(stores.repo.path, config=stores.settings, stores=stores)
            if len(self._stores) < _MOST_STORES:
                self._stores[key] = store
        return store

    def _ready(self, _request: Request, _body: bytes) -> Response:
        """Say whether the registry can be read."""
        try:
            self._store.snapshot()
        except StoreError as error:
            return failed(error)
        return answered({"status": "ready"})

    async def _metrics(self, _request: Request) -> Response:
        return self._gate.metrics.page()


def _caller(request: Request, _body: bytes) -> Response:
    """Say who the caller is, so that a client need not know."""
    principal: Principal = request.state.caller
    scopes = sorted(principal.scopes)
    return answered({"owner": principal.owner, "project": request.state.project, "scopes": scopes})


async def _healthy(_request: Request) -> Response:
    return answered({"status": "healthy"})


def _feast_online(store: FeatureStore, _: Request, body: bytes) -> Response:
    content = parsed(body)
    entities = content.get("entities")
    if not isinstance(entities, dict):
        raise RequestError("entities must be an object: join key → list of values.")
    response = store.get_online_features(
        feast_format.features_of(content),
        entities,
        full_feature_names=_flag(content, "full_feature_names"),
    )
    return answered(feast_format.answer(response))


def _feast_push(store: FeatureStore, _: Request, body: bytes) -> Response:
    content = parsed(body)
    name, modes = _name(content, "push_source_name"), {m.name.lower(): m for m in PushMode}
    mode = str(content.get("to", "online"))
    if mode not in modes:
        raise RequestError(f"to is {mode!r}, not one of {', '.join(modes)}.")
    store.push(name, _feast_rows(store, content, fed_by=name), modes[mode])
    return answered({})


def _feast_write(store: FeatureStore, _: Request, body: bytes) -> Response:
    content = parsed(body)
    name = _name(content, "feature_view_name")
    store.write_to_online_store(name, _feast_rows(store, content, view=name))
    return answered({})


def _feast_rows(
    store: FeatureStore, content: dict[str, Any], *, view: str = "", fed_by: str = ""
) -> pa.Table:
    types = writing.column_types(store.call(), view=view, source=fed_by)
    return feast_format.rows_of(content.get("df"), types)


def _feast_materialize(store: FeatureStore, _: Request, body: bytes) -> Response:
    content = parsed(body)
    start, end = (_time(content, name) for name in ("start_ts", "end_ts"))
    if start is None or end is None:
        raise RequestError("Send start_ts and end_ts, as ISO 8601.")
    store.materialize(start, end, _views(content, "feature_views"))
    return answered({})


def _feast_incremental(store: FeatureStore, _: Request, body: bytes) -> Response:
    content = parsed(body)
    store.materialize_incremental(_time(content, "end_ts"), _views(content, "feature_views"))
    return answered({})


def _online(store: FeatureStore, request: Request, body: bytes) -> Response:
    if request.headers.get("content-type", "").startswith(ARROW):
        rows, content = remote.unpacked(body, most_rows=MOST_ONLINE_ROWS)
        entities: Any = rows
    else:
        content = parsed(body)
        entities = content.get("entities")
        if not isinstance(entities, (dict, list)):
            raise RequestError("entities must be columns (an object) or rows (a list).")
    response = store.get_online_features(
        remote.features_of(content.get("features")),
        entities,
        full_feature_names=_flag(content, "full_feature_names"),
    )
    if ARROW in request.headers.get("accept", JSON):
        return Response(remote.response_body(response), media_type=ARROW)
    statuses = {name: [s.value for s in values] for name, values in response.statuses().items()}
    return answered(
        {
            "registry_version": response.registry_version,
            "columns": response.to_dict(),
            "statuses": statuses,
        }
    )


def _training_set(store: FeatureStore, _: Request, body: bytes) -> Response:
    rows, content = remote.unpacked(body)
    options: dict[str, Any] = {
        "full_feature_names": _flag(content, "full_feature_names"),
        "filter_by_created_timestamp": _flag(content, "filter_by_created_timestamp"),
        "as_of": _time(content, "as_of"),
    }
    features = remote.features_of(content.get("features"))
    if (start := _time(content, "start")) is not None:
        end = _time(content, "end")
        job = store.get_historical_features(
            features=features, start_date=start, end_date=end, **options
        )
    else:
        job = store.get_historical_features(rows, features, **options)
    return StreamedRows(job)


def _rows_verb(method: str, *flags: str) -> Verb:
    def run(store: FeatureStore, _: Request, body: bytes) -> Response:
        rows, content = remote.unpacked(body)
        options = {flag: _flag(content, flag) for flag in flags}
        return answered({"result": getattr(store, method)(_name(content, "name"), rows, **options)})

    return run


def _push(store: FeatureStore, _: Request, body: bytes) -> Response:
    rows, content = remote.unpacked(body)
    modes = PushMode.__members__
    mode = str(content.get("to"))
    if mode not in modes:
        raise RequestError(f"to is {mode!r}, not one of {', '.join(modes)}.")
    ignore = _flag(content, _UNKNOWN)
    count = store.push(_name(content, "name"), rows, modes[mode], ignore_unknown=ignore)
    return answered({"result": count})


def _materialize(store: FeatureStore, _: Request, body: bytes) -> Response:
    content = parsed(body)
    start, end = (_time(content, name) for name in ("start", "end"))
    if start is None or end is None:
        raise RequestError("Send start and end, as ISO 8601.")
    counts = store.materialize(
        start,
        end,
        _views(content, "views"),
        include_end=_flag(content, "include_end", default=True),
    )
    return answered({"result": counts})


def _incremental(store: FeatureStore, _: Request, body: bytes) -> Response:
    content = parsed(body)
    seconds = content.get("lookback_seconds", DEFAULT_LOOKBACK.total_seconds())
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise RequestError("lookback_seconds must be a number.")
    try:
        lookback = timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise RequestError(f"lookback_seconds={seconds!r} is out of range.") from None
    counts = store.materialize_incremental(
        _time(content, "end"), _views(content, "views"), lookback=lookback
    )
    return answered({"result": counts})


def _name(content: dict[str, Any], field: str) -> str:
    value = content.get(field)
    if not isinstance(value, str):
        raise RequestError(f"{field} must be a name.")
    return value


def _flag(content: dict[str, Any], field: str, *, default: bool = False) -> bool:
    value = content.get(field, default)
    if not isinstance(value, bool):
        raise RequestError(f"{field} must be true or false.")
    return value


def _views(content: dict[str, Any], field: str) -> list[str] | None:
    value = content.get(field)
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if value is not None and not is_list:
        raise RequestError(f"{field} must be a list of names.")
    return value


def _time(content: dict[str, Any], field: str) -> datetime | None:
    value = content.get(field)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise RequestError(f"{field} is not a time in ISO 8601.") from None
