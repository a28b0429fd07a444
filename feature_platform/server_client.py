"""Requests to a feature server: TLS, keys, retries, errors."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
from pydantic import SecretStr

from feature_platform.errors import BusyError, ConfigError, StoreError, UnknownWriteError
from feature_platform.lazy import Lazy
from feature_platform.settings import Settings
from feature_platform.wire import error_of

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
PROJECT_HEADER: Final = "X-Feature-Project"
REQUEST_HEADER: Final = "X-Request-Id"
REQUEST_ID_LENGTH: Final = 16
ARROW: Final = "application/vnd.apache.arrow.stream"
JSON: Final = "application/json"
WORK_SECONDS: Final = 3600.0  # that a server may take for a load or a training set
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 60.0
_LONGEST_TRY_SECONDS = 30.0
# A server that vanished is noticed while it is waited for.
_KEEPALIVE: Final = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
    if hasattr(socket, name)
]
_BUSY = {429, 503}
_UNAUTHORIZED = 401
_UNHANDLED = {404, 405}  # of paths that the server does not have


class ConnectionSettings(Settings):
    """How to reach a feature server.

    Attributes:
        api_key: The API key; `${NAME}` keeps it out of the file.
        api_key_file: File with the API key in its first line, relative to the repo folder. Without
            either, the environment variable `FEATURE_PLATFORM_API_KEY` is used.
        trust_store_path: PEM file of the certificates to trust; the system's if empty.
        hostname_verification: Whether to verify the certificate's host name.
    """

    api_key: SecretStr = SecretStr("")
    api_key_file: str = ""
    trust_store_path: str = ""
    hostname_verification: bool = True

    def key(self, folder: Path) -> str:
        """Return the API key; empty if there is none.

        Raises:
            ConfigError: The file cannot be read.
        """
        if value := self.api_key.get_secret_value():
            return value.strip()
        if not self.api_key_file:
            return os.environ.get("FEATURE_PLATFORM_API_KEY", "").strip()
        file = folder / Path(self.api_key_file).expanduser()
        try:
            return file.read_text("utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigError(f"The API key cannot be read from {file}: {reason}.") from None


def is_server_url(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def project_of(url: str) -> str:
    """Return the project of a server's URL, `https://host/project`; empty if it has none."""
    return urlsplit(url).path.strip("/")


class ServerClient:
    """Sends the requests of one project to a feature server; safe to share among threads.

    Args:
        url: `https://host[:port]/project`.
        settings: Key and certificates.
        folder: The repo folder, for relative paths.

    Raises:
        ConfigError: The URL is not valid, or would send the key without encryption.
    """

    def __init__(self, url: str, settings: ConnectionSettings, folder: Path) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if not parts.hostname or parts.query or parts.fragment or parts.username or port == -1:
            raise ConfigError("The server's URL is not valid. Write https://host[:port]/project.")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ConfigError(
                f"http://{parts.hostname} would send the API key without encryption. Use https://."
            )
        self.project = project_of(url)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.address = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
        self._settings = settings
        self._folder = folder
        self._pool = Lazy(self._open_pool, lambda pool: pool.clear())

    def __str__(self) -> str:
        return f"{self.address}/{self.project}"

    def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        self._pool.close()

    def json(self, method: str, path: str, content: Any = None, **options: Any) -> Any:
        """Send JSON and return the JSON of the answer; `None` for an answer without content."""
        body = b"" if content is None else msgspec.json.encode(content, enc_hook=str)
        answer = self.request(method, path, body, **options)
        return msgspec.json.decode(answer) if answer else None

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        content_type: str = JSON,
        accept: str = JSON,
        query: Mapping[str, str] | None = None,
        is_repeatable: bool = True,
        seconds: float = _ANSWER_SECONDS,
    ) -> bytes:
        """Send a request and return the body of the answer.

        Args:
            method: `GET` or `POST`.
            path: Path, from the root of the server.
            body: What to send.
            content_type: Of the body.
            accept: Of the answer.
            query: Parameters of the URL.
            is_repeatable: Whether it may be sent again after the connection was lost; appending
                rows may not.
            seconds: How long the server may take.

        Raises:
            FeaturePlatformError: The server refused it, with its error.
            BusyError: The server stayed busy.
            StoreError: The server cannot be reached.
            UnknownWriteError: The connection was lost, and rows may have been appended.
        """
        headers = {"Content-Type": content_type, "Accept": accept}
        response = self._send(
            method, path, body, headers, query, is_repeatable=is_repeatable, seconds=seconds
        )
        if response.status < 300:  # noqa: PLR2004 - the class of success
            return bytes(response.data)
        raise self._error(response)

    def stream(self, path: str, body: bytes, *, content_type: str, accept: str) -> Any:
        """Send a request and return the answer as a file, which is read while it comes."""
        headers = {"Content-Type": content_type, "Accept": accept}
        response = self._send(
            "POST", path, body, headers, None,
            is_repeatable=True, seconds=WORK_SECONDS, preload_content=False,
        )  # fmt: skip
        if response.status >= 300:  # noqa: PLR2004
            raise self._error(response)
        response.auto_close = False
        return response

    def _send(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        query: Mapping[str, str] | None,
        *,
        is_repeatable: bool,
        seconds: float,
        preload_content: bool = True,
    ) -> Any:
        from tenacity import Retrying, retry_if_exception_type, stop_after_delay
        from tenacity import wait_random_exponential as wait
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        headers = {**headers, PROJECT_HEADER: self.project}
        if key := self._settings.key(self._folder):
            headers["Authorization"] = f"Bearer {key}"
        url = self.address + path + (f"?{urlencode(query)}" if query else "")
        pool = self._pool.get()
        timeout = Timeout(connect=_CONNECT_SECONDS, read=seconds)

        def send() -> Any:
            try:
                response = pool.request(
                    method,
                    url,
                    body=body or None,
                    headers=headers,
                    preload_content=preload_content,
                    timeout=timeout,
                )
            except HTTPError as error:
                raise self._lost(error, is_repeatable=is_repeatable) from error
            if not _is_whole(response):
                response.close()
                raise self._lost(StoreError("the answer was cut off"), is_repeatable=is_repeatable)
            if response.status in _BUSY:
                response.close()
                raise BusyError(f"The feature server {self.address} is busy.")
            return response

        retrying = Retrying(
            retry=retry_if_exception_type(StoreError),
            wait=wait(0.05, 2.0),
            stop=stop_after_delay(_LONGEST_TRY_SECONDS),
            reraise=True,
        )
        return retrying(send)

    def _lost(self, error: Exception, *, is_repeatable: bool) -> Exception:
        from urllib3.exceptions import MaxRetryError, NewConnectionError, SSLError

        reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        if isinstance(reason, SSLError) and "WRONG_VERSION_NUMBER" in str(reason):
            return ConfigError(
                f"{self.address} does not speak TLS. Write http:// in front of the host for a "
                "server on this machine; otherwise give the server a certificate."
            )
        if isinstance(reason, SSLError):
            return ConfigError(
                f"The certificate of {self.address} is not trusted: {reason}. Set "
                "trust_store_path to the PEM file of its issuer."
            )
        message = f"The feature server {self.address} cannot be reached: {reason}"
        if is_repeatable or isinstance(reason, NewConnectionError):
            return StoreError(message)
        return UnknownWriteError(
            f"{message} The rows may have been appended: look before you retry."
        )

    def _error(self, response: Any) -> Exception:
        if response.status == _UNAUTHORIZED and not self._settings.key(self._folder):
            return ConfigError(
                f"The feature server {self.address} needs an API key. Set connection.api_key_file "
                "in feature_store.yaml, or the environment variable FEATURE_PLATFORM_API_KEY."
            )
        try:
            error = error_of(msgspec.json.decode(response.data))
        except (msgspec.DecodeError, UnicodeDecodeError):
            error = None
        return error or StoreError(
            f"The feature server {self.address} answered with status {response.status}."
        )

    def _open_pool(self) -> Any:
        import ssl

        import urllib3
        from urllib3.connection import HTTPConnection

        context = ssl.create_default_context()
        if path := self._settings.trust_store_path:
            file = self._folder / Path(path).expanduser()
            try:
                context = ssl.create_default_context(cafile=str(file))
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"trust_store_path: {file} is no PEM file: {error}.") from None
        context.check_hostname = self._settings.hostname_verification
        return urllib3.PoolManager(
            num_pools=4,
            maxsize=32,
            retries=False,
            ssl_context=context,
            assert_hostname=None if self._settings.hostname_verification else False,
            socket_options=[*HTTPConnection.default_socket_options, *_KEEPALIVE],
        )


def _is_whole(response: Any) -> bool:
    """Return whether the head of an answer came to its end.

    A connection that is lost within the head leaves headers that look like all, and a length that
    may have lost digits. The server writes the id of the request last, and it has a fixed size.
    """
    if response.status in _UNHANDLED:
        return True
    return len(response.headers.get(REQUEST_HEADER, "")) == REQUEST_ID_LENGTH
