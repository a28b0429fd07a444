"""Commands of the feature server: serve, and API keys."""

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.markup import escape

from feature_platform.cli.base import command, json_option
from feature_platform.cli.printing import console, print_json, print_table
from feature_platform.config import RepoConfig
from feature_platform.errors import ConfigError, missing_extra
from feature_platform.server.keys import SCOPES, ApiKey, KeyStore
from feature_platform.types.times import utc_now


@command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=6566,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Number of worker processes.",
)
@click.option(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the server's certificate; makes it HTTPS.",
)
@click.option(
    "--tls-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of its private key, if it is not in the certificate's file.",
)
def serve(
    repo: Path,
    *,
    host: str,
    port: int,
    workers: int,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Serve the registry, features and training sets over HTTP."""
    try:
        from feature_platform.server.running import serve as run
    except ImportError as error:
        raise missing_extra("The server", "server") from error
    if tls_key and not tls_cert:
        raise click.UsageError("--tls-key needs --tls-cert.")
    settings = RepoConfig.load(repo).server
    scheme = "https" if tls_cert else "http"
    holders = "holders of API keys or tokens" if settings.oidc else "holders of API keys"
    who = holders if settings.keys or settings.oidc else "everybody on this machine"
    console().print(f"Serving {scheme}://{escape(host)}:{port} for {who}. Ctrl-C ends it.")
    run(repo, host=host, port=port, workers=workers, tls_cert=tls_cert, tls_key=tls_key)


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke API keys of the server."""


@command(name="create")
@click.option("--owner", required=True, help="Owner that the key acts for; `none` may only read.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    required=True,
    help="Project in which the key may act. Repeatable.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(SCOPES),
    help="What the key allows. Repeatable.",
)
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First day on which the key is no longer valid (UTC).",
)
@click.option("--description", default="", help="Purpose of the key.")
@json_option
def create(
    repo: Path,
    *,
    owner: str,
    projects: tuple[str, ...],
    scopes: tuple[str, ...],
    expires: datetime | None,
    description: str,
    as_json: bool,
) -> None:
    """Create a key, and show it once."""
    end = expires.replace(tzinfo=UTC) if expires else None
    made = _store(repo).create(owner, projects, scopes, description=description, expires=end)
    _show(*made, as_json=as_json)


@command(name="list")
@json_option
def list_(repo: Path, *, as_json: bool) -> None:
    """List all keys; the keys themselves are not stored."""
    listed = _store(repo).list()
    if as_json:
        print_json([vars(key) for key in listed])
        return
    rows = [
        (
            key.id,
            key.owner,
            ", ".join(key.projects),
            ", ".join(key.scopes),
            _state(key),
            f"{key.created:%Y-%m-%d %H:%M}",
            key.description,
        )
        for key in listed
    ]
    headers = ["id", "owner", "projects", "scopes", "state", "created", "description"]
    print_table(headers, rows, "No keys. Create one with `keys create`.")


@command(name="rotate")
@click.argument("key_id", metavar="ID")
@json_option
def rotate(repo: Path, *, key_id: str, as_json: bool) -> None:
    """Create a key with the rights of ID, which stays valid until it is revoked."""
    _show(*_store(repo).rotate(key_id), as_json=as_json)
    if not as_json:
        console().print(f"Once it is in use everywhere, run `keys revoke {escape(key_id)}`.")


@command(name="revoke")
@click.argument("key_id", metavar="ID")
@json_option
def revoke(repo: Path, *, key_id: str, as_json: bool) -> None:
    """End a key; servers notice within a second."""
    key = _store(repo).revoke(key_id)
    if as_json:
        print_json(vars(key))
    else:
        console().print(f"Revoked key {key.id} of {key.owner}.")


for _command in (create, list_, rotate, revoke):
    keys.add_command(_command)


def _store(repo: Path) -> KeyStore:
    settings = RepoConfig.load(repo).server
    if not settings.keys:
        raise ConfigError(
            "feature_store.yaml names no file of keys. Write `server: {keys: data/keys.db}`."
        )
    return KeyStore(repo / settings.keys)


def _show(key: ApiKey, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**vars(key), "key": text})
        return
    out = console()
    out.print(f"Key {key.id} of {key.owner} for {', '.join(key.projects)}. It is shown only now:")
    click.echo(text)


def _state(key: ApiKey) -> str:
    if key.revoked:
        return f"revoked {key.revoked:%Y-%m-%d}"
    if key.expires and not key.is_valid(utc_now()):
        return f"expired {key.expires:%Y-%m-%d}"
    return f"until {key.expires:%Y-%m-%d}" if key.expires else "valid"
