"""What all commands share: error reporting, and types of arguments."""

import json
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import click

from feature_platform.errors import FeaturePlatformError, RequestError, UnknownOutcomeError
from feature_platform.settings import SettingWarning

CLIENT = "feature-platform"
_ERROR, _UNKNOWN = 1, 4
_ON_SETTINGS = {"plan", "apply", "validate"}  # which warn of settings without effect


class Instant(click.ParamType[datetime]):
    """An ISO 8601 time; a naive one is UTC."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        """Read a time."""
        try:
            time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2013-12-31 or 2013-12-31T18:00", param, ctx)
        return time if time.tzinfo else time.replace(tzinfo=UTC)


class Point(click.ParamType[int | datetime]):
    """A registry version, or a time."""

    name = "version or time"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | datetime:
        """Read a version or a time."""
        if isinstance(value, int):
            return value
        if isinstance(value, str) and value.isdecimal() and len(value) < 10:  # noqa: PLR2004
            return int(value)
        return Instant().convert(value, param, ctx)


def command(**settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command whose errors are one clear message, and whose output may be JSON."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        def run(**arguments: Any) -> None:
            with _reported(as_json=arguments.get("as_json", False)):
                function(click.get_current_context().obj, **arguments)

        made: click.Command = click.command(**settings)(run)
        return made

    return decorate


service_option = click.option("-s", "--service", help="Feature service to read.")
features_option = click.option(
    "-f", "--feature", "--features", "features", multiple=True,
    help="view or view:feature. Repeatable.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def _reported(*, as_json: bool) -> Iterator[None]:
    """Print an expected error as a message, not as a traceback."""
    try:
        with warnings.catch_warnings():
            if click.get_current_context().info_name not in _ON_SETTINGS:
                warnings.simplefilter("ignore", SettingWarning)
            yield
    except OSError as error:
        _tell(
            RequestError(f"{error.filename or 'output'}: {error.strerror or error}."),
            as_json=as_json,
        )
    except FeaturePlatformError as error:
        _tell(error, as_json=as_json)


def _tell(error: FeaturePlatformError, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": type(error).__name__, "message": str(error)}), err=True)
    else:
        from rich.markup import escape

        from feature_platform.cli.printing import console

        console(stderr=True).print(f"[red]{type(error).__name__}[/]: {escape(str(error))}")
    sys.exit(_UNKNOWN if isinstance(error, UnknownOutcomeError) else _ERROR)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that is there as a whole, or not at all; what was there before stays until then.

    Raises:
        RequestError: It cannot be written.
    """
    if path.exists() and not path.is_file():
        raise RequestError(f"{path} is not a regular file. Choose another path.")
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
