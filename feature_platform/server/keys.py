"""API keys: who holds one, for which projects, to do what; the key itself is never stored."""

import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final

from feature_platform.definitions import is_identifier
from feature_platform.errors import NotFoundError, RequestError, StoreError

SCOPES: Final = ("registry:read", "registry:apply", "features:read", "features:write", "admin")
_PREFIX: Final = "fp"
_SECRET_BYTES: Final = 32
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL, owner TEXT NOT NULL, projects TEXT NOT NULL,
    scopes TEXT NOT NULL, description TEXT NOT NULL, created TEXT NOT NULL, expires TEXT,
    revoked TEXT
)"""


@dataclass(frozen=True)
class ApiKey:
    """What is stored of a key.

    Attributes:
        id: Public part of the key, which commits and logs name.
        owner: Owner that it acts for; `none` may only read.
        projects: Projects that it acts in.
        scopes: What it may do; `admin` is everything.
        description: What it is for.
        created: When it was made.
        expires: When it ends; `None` for never.
        revoked: When it was revoked; `None` if it was not.
    """

    id: str
    owner: str
    projects: tuple[str, ...]
    scopes: tuple[str, ...]
    description: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Return whether it can be used."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class KeyStore:
    """API keys in a SQLite file, which all workers of a server share.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(
        self,
        owner: str,
        projects: Sequence[str],
        scopes: Sequence[str],
        *,
        description: str = "",
        expires: datetime | None = None,
        now: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Returns:
            What is stored, and the key, which is shown only now.

        Raises:
            RequestError: A name or a scope is not valid, or it would have expired.
        """
        at = now or datetime.now(UTC)
        if wrong := [name for name in (owner, *projects) if not is_identifier(name)]:
            raise RequestError(f"{wrong[0]!r} is not a name of an owner or a project.")
        if not projects:
            raise RequestError("A key needs at least one project.")
        if unknown := [scope for scope in scopes if scope not in SCOPES]:
            raise RequestError(f"{unknown[0]!r} is not a scope. Scopes: {', '.join(SCOPES)}.")
        if not scopes:
            raise RequestError(f"A key needs at least one scope: {', '.join(SCOPES)}.")
        if expires is not None and expires <= at:
            raise RequestError(f"The key would have expired on {expires:%F}.")
        key = ApiKey(
            secrets.token_hex(6), owner, tuple(dict.fromkeys(projects)),
            tuple(dict.fromkeys(scopes)), description, at, expires,
        )  # fmt: skip
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        self._insert(key, secret)
        return key, f"{_PREFIX}_{key.id}_{secret}"

    def rotate(self, key_id: str, now: datetime | None = None) -> tuple[ApiKey, str]:
        """Make a key with the rights of another one, which stays valid until it is revoked.

        Raises:
            NotFoundError: There is no such key, or it was revoked.
        """
        old = self._get(key_id)
        if old.revoked is not None:
            raise NotFoundError(f"Key {key_id!r} was revoked. Create a new one.")
        return self.create(
            old.owner, old.projects, old.scopes,
            description=old.description, expires=old.expires, now=now,
        )  # fmt: skip

    def revoke(self, key_id: str, now: datetime | None = None) -> ApiKey:
        """End a key; servers notice within a second.

        Raises:
            NotFoundError: There is no such key.
        """
        self._get(key_id)
        at = (now or datetime.now(UTC)).isoformat()
        with self._connected() as connection:
            connection.execute(
                "UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (at, key_id)
            )
        return self._get(key_id)

    def list(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        with self._connected() as connection:
            rows = connection.execute("SELECT * FROM keys ORDER BY created, id")
            return [_key(row) for row in rows]

    def find(self, text: str) -> ApiKey | None:
        """Return the key of its text, whether valid or not; `None` if it is not one of ours.

        A text with a wrong secret takes as long as one with the right secret.
        """
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != _PREFIX or not secret or not key_id.isalnum():
            return None
        with self._connected() as connection:
            row = connection.execute("SELECT * FROM keys WHERE id = ?", (key_id,)).fetchone()
        expected = row[1] if row else _hash("")
        return _key(row) if compare_digest(expected, _hash(secret)) and row else None

    def _get(self, key_id: str) -> ApiKey:
        keys = {key.id: key for key in self.list()}
        if key_id not in keys:
            raise NotFoundError(f"There is no key {key_id!r} in {self.path}.")
        return keys[key_id]

    def _insert(self, key: ApiKey, secret: str) -> None:
        row = (
            key.id, _hash(secret), key.owner, json.dumps(key.projects), json.dumps(key.scopes),
            key.description, key.created.isoformat(), key.expires and key.expires.isoformat(), None,
        )  # fmt: skip
        with self._connected() as connection:
            connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch(mode=0o600)
            with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
                connection.execute(_SCHEMA)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"The keys in {self.path} cannot be read: {error}") from error


def _key(row: Sequence[str]) -> ApiKey:
    key_id, _, owner, projects, scopes, description, created, expires, revoked = row
    return ApiKey(
        key_id, owner, tuple(json.loads(projects)), tuple(json.loads(scopes)), description,
        datetime.fromisoformat(created), (expires and datetime.fromisoformat(expires)) or None,
        (revoked and datetime.fromisoformat(revoked)) or None,
    )  # fmt: skip


def _hash(secret: str) -> str:
    """Return the hash of a secret of 256 random bits, which no dictionary has."""
    return sha256(secret.encode()).hexdigest()
