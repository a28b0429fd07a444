"""Who sends a request: API keys, tokens of an identity provider, and rates."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any, Final

from anyio import CapacityLimiter, to_thread

from feature_platform.config import OidcSettings
from feature_platform.definitions import is_identifier
from feature_platform.project import READER
from feature_platform.server.keys import SCOPES, ApiKey, KeyStore
from feature_platform.types.times import utc_now

_REMEMBERED_SECONDS: Final = 1.0
_MOST_REMEMBERED: Final = 10_000
_THREADS: Final = 4
_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "EdDSA"]


class DeniedError(Exception):
    """A request is not allowed.

    Attributes:
        status: HTTP status.
        message: Why, with the remedy, and without secrets.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@dataclass(frozen=True)
class Principal:
    """Who sends a request.

    Attributes:
        id: Id of the key, or subject of the token, for logs and commits.
        owner: Owner that it acts for.
        projects: Projects that it may act in; empty for all.
        scopes: What it may do.
    """

    id: str
    owner: str
    projects: tuple[str, ...]
    scopes: frozenset[str]

    def check(self, project: str, scope: str = "") -> None:
        """Check that it may act in a project, and do something there.

        Raises:
            DeniedError: It may not.
        """
        if self.projects and project not in self.projects:
            raise DeniedError(403, f"This key does not act in project {project!r}.")
        if scope and scope not in self.scopes and "admin" not in self.scopes:
            raise DeniedError(403, f"This key lacks the scope {scope!r}.")
        if self.owner == READER and scope in {"registry:apply", "features:write"}:
            raise DeniedError(403, "This key acts for `none`, which may only read.")


class Authenticator:
    """Finds out who sends a request.

    Args:
        keys: The API keys; `None` for none.
        oidc: The identity provider; `None` for none.
        open_to: The principal of every request, if there are neither keys nor a provider.
        requests_per_second: Most requests of one principal; 0 for no limit.
    """

    def __init__(
        self,
        keys: KeyStore | None,
        oidc: OidcSettings | None,
        open_to: Principal | None,
        requests_per_second: float,
    ) -> None:
        self._keys = keys
        self._tokens = Tokens(oidc) if oidc else None
        self._open_to = open_to
        self._rates = Rates(requests_per_second)
        self._remembered: dict[bytes, tuple[float, Principal]] = {}
        self._limiter = CapacityLimiter(_THREADS)

    async def principal(self, header: str | None) -> Principal:
        """Return who sends a request with an `Authorization` header.

        Keys and tokens that are not remembered are looked up in threads of their own, so that
        nobody's wait for a file or an identity provider stops the other requests.

        Raises:
            DeniedError: Nobody who may.
        """
        principal = self._open_to or await self._of_header(header)
        if not self._rates.allow(principal.id):
            raise DeniedError(429, "Too many requests with this key. Send fewer per second.")
        return principal

    async def _of_header(self, header: str | None) -> Principal:
        scheme, _, text = (header or "").partition(" ")
        if scheme.lower() not in {"bearer", "apikey"} or not text:
            raise DeniedError(401, "Send the API key: `Authorization: Bearer fp_...`.")
        digest = sha256(text.encode()).digest()
        remembered = self._remembered.get(digest)
        now = time.monotonic()
        if remembered and now - remembered[0] < _REMEMBERED_SECONDS:
            return remembered[1]
        principal = await to_thread.run_sync(self._of_text, text.strip(), limiter=self._limiter)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = (now, principal)
        return principal

    def _of_text(self, text: str) -> Principal:
        key = self._keys.find(text) if self._keys is not None else None
        if key is not None and key.is_valid(utc_now()):
            return principal_of(key)
        if key is None and self._tokens is not None:
            return self._tokens.principal(text)
        raise DeniedError(401, "The API key is not valid: unknown, expired or revoked.")


def principal_of(key: ApiKey) -> Principal:
    """Return who holds a key."""
    return Principal(key.id, key.owner, key.projects, frozenset(key.scopes))


class Rates:
    """Token buckets that hold the requests of one second.

    Args:
        per_second: Most requests per second; 0 for no limit.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def allow(self, name: str) -> bool:
        """Count a request; return whether it is allowed."""
        if not self._per_second:
            return True
        most = max(self._per_second, 1.0)
        with self._lock:
            if len(self._buckets) > _MOST_REMEMBERED:
                self._buckets.clear()
            now = time.monotonic()
            level, at = self._buckets.get(name, (most, now))
            level = min(most, level + (now - at) * self._per_second)
            self._buckets[name] = (level - 1 if level >= 1 else level, now)
            return level >= 1


class Tokens:
    """Tokens of an OpenID Connect provider: signature, issuer, audience, times and claims.

    Args:
        settings: The provider.
    """

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._signing_key: Callable[[str], Any] | None = None

    def principal(self, text: str) -> Principal:
        """Return who holds a token.

        Raises:
            DeniedError: It is not valid, or has no owner.
        """
        import jwt

        settings = self._settings
        try:
            claims = jwt.decode(
                text,
                self._key(text),
                algorithms=_ALGORITHMS,
                audience=settings.audience,
                issuer=settings.issuer,
                options={"require": ["exp", "iss", "aud"]},
                leeway=10,
            )
        except jwt.PyJWKClientConnectionError as error:
            raise DeniedError(503, "The identity provider cannot be reached.") from error
        except jwt.PyJWTError as error:
            raise DeniedError(401, f"The token is not valid: {type(error).__name__}.") from error
        owner = claims.get(settings.owner_claim)
        projects, scopes = (
            _texts(claims.get(name)) for name in (settings.projects_claim, settings.scopes_claim)
        )
        if not isinstance(owner, str) or not is_identifier(owner):
            raise DeniedError(
                403, f"The token has no claim {settings.owner_claim!r} with an owner."
            )
        if not projects:
            raise DeniedError(403, f"The token has no claim {settings.projects_claim!r}.")
        granted = frozenset(scope for scope in scopes if scope in SCOPES)
        return Principal(str(claims.get("sub", "token")), owner, projects, granted)

    def _key(self, text: str) -> Any:
        import jwt

        if self._signing_key is None:
            client = jwt.PyJWKClient(self._jwks_url(), cache_keys=True, timeout=5)
            self._signing_key = lambda token: client.get_signing_key_from_jwt(token).key
        return self._signing_key(text)

    def _jwks_url(self) -> str:
        import json
        from urllib.request import urlopen

        import jwt

        issuer = self._settings.issuer.rstrip("/")
        try:
            with urlopen(f"{issuer}/.well-known/openid-configuration", timeout=5) as answer:  # noqa: S310
                content = json.loads(answer.read(1 << 20))
        except (OSError, ValueError) as error:
            raise jwt.PyJWKClientConnectionError(str(error)) from error
        return str(content["jwks_uri"])


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()
