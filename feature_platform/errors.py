"""Public errors: one class per remedy."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

_MAX_LENGTH = 50
_SIMILAR = 0.7


class FeaturePlatformError(Exception):
    """Base of all errors of this package.

    Attributes:
        retryable: Whether the same call may succeed later without any change.
    """

    retryable: ClassVar[bool] = False


class DefinitionError(FeaturePlatformError, ValueError):
    """A definition is invalid. Correct the code."""


class AbsentNameError(DefinitionError):
    """Code uses names of Feast that this package has not. Replace them as the message says.

    Attributes:
        names: Each name with what is used instead.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        listed = "".join(f"\n  {name}" for name in self.names)
        super().__init__(f"These names of Feast have no counterpart here:{listed}")


class ConfigError(FeaturePlatformError, ValueError):
    """`feature_store.yaml` or a repo folder is invalid. Correct it."""


class NotFoundError(FeaturePlatformError, KeyError):
    """A referenced object is not registered. Correct the reference, or register the object."""

    __str__ = FeaturePlatformError.__str__  # a `KeyError` quotes its text


class AccessError(NotFoundError):
    """Another project does not share an object. Ask its platform team, or accept its share."""


class ConflictError(FeaturePlatformError):
    """Another commit changed the same objects first. Plan again."""


class UnknownOutcomeError(FeaturePlatformError):
    """The storage did not confirm the commit. Apply again: a stored commit is not repeated."""

    retryable = True


class UnknownWriteError(UnknownOutcomeError):
    """Nobody confirmed that rows were appended. Look for them before you send them again."""

    retryable = False


class CorruptLogError(FeaturePlatformError):
    """The registry's log failed verification. Run `feature-platform fsck`."""


class LogReplacedError(CorruptLogError):
    """The log was replaced or rolled back since the last read. Start from its current state."""


class ClockError(FeaturePlatformError):
    """A clock disagrees with the registry's, and nothing was written. Set the clock."""


class RequestError(FeaturePlatformError, ValueError):
    """A retrieval or write request is invalid. Correct the request."""


class SchemaError(FeaturePlatformError, ValueError):
    """Rows do not match the declared schema. Correct the rows or the definition."""


class SourceError(SchemaError):
    """Rows of a source do not match the declared schema. Correct the source or the definition."""


class StoreError(FeaturePlatformError):
    """A store operation failed and changed nothing. Retry, or check the backend."""

    retryable = True


class PartialWriteError(StoreError):
    """Rows were written to only some of the views. Send them again; writes are idempotent.

    Attributes:
        written: Views that were written.
        failed: Views that were not written.
    """

    def __init__(self, *, written: tuple[str, ...], failed: tuple[str, ...], reason: str) -> None:
        self.written = written
        self.failed = failed
        self.reason = reason
        super().__init__(
            f"Views {', '.join(failed)} were not written: {reason} Views {', '.join(written)} were "
            "written. Send the rows again; rows that are already stored are not duplicated."
        )


class BusyError(StoreError):
    """A store stayed busy until the timeout, and nothing was written. Retry later."""


class TransformationError(FeaturePlatformError):
    """On-demand code failed to load or run, or differs from the registered code. Correct it.

    Attributes:
        public: The message without values, files and lines, for those who may read nothing but
            what the code returns.
    """

    def __init__(self, message: str, public: str = "") -> None:
        self.public = public or message
        super().__init__(message)


class OverloadError(TransformationError):
    """Functions of an owner are at work, and no process is free for another. Retry later."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a plan is refused.

    Attributes:
        rule: Id of the rule, such as `ownership` or `reference`.
        subject: Object that breaks the rule, as `kind name`.
        message: Description and remedy.
        missing: Object to register first, if that alone would solve the problem.
    """

    rule: str
    subject: str
    message: str
    missing: str | None = None

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}"


class RefusedError(FeaturePlatformError):
    """A plan breaks the registry's rules, and nothing was written. Correct the listed problems."""

    def __init__(self, owner: str, project: str, problems: Iterable[Problem]) -> None:
        self.owner = owner
        self.project = project
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  - {problem} [{problem.rule}]" for problem in self.problems)
        super().__init__(
            f"The plan of {owner!r} for project {project!r} is refused and nothing was written: "
            f"{count} problem{'s' if count > 1 else ''}.{lines}"
        )


def abbreviate(value: object) -> str:
    """Return the repr of a value for a message, truncated if it is long."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - integers of thousands of digits, or users' objects
        text = f"{type(value).__name__} (too long to display)"
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"


def check_type(value: object, kinds: type | tuple[type, ...], label: str) -> None:
    """Refuse an argument of the wrong type.

    Args:
        value: The argument.
        kinds: The types that it may have.
        label: Its name, for the message.

    Raises:
        RequestError: It has another type.
    """
    if not isinstance(value, kinds):
        names = [kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,))]
        raise RequestError(f"{label} is {abbreviate(value)}, not a {' or '.join(names)}.")


def article(noun: str) -> str:
    """Return a noun with its article, such as `an entity`."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def text_of(error: BaseException) -> str:
    """Return the text of an error; users' errors may fail to give theirs."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it is not ours
        return f"{type(error).__name__} without a readable text"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; engines append drawings and traces."""
    return (text_of(error).strip().splitlines() or [""])[0].rstrip(".")


def not_served_online(view: str) -> RequestError:
    """Return the error for a view that has no online rows."""
    return RequestError(
        f"View {view!r} is not served online (online=False). Set online=True and load it, or read "
        "its history with get_historical_features."
    )


def missing_extra(user: str, extra: str) -> ConfigError:
    """Return the error for packages that are not installed.

    Args:
        user: What needs them: `online_store: postgres`.
        extra: The extra of this package that installs them.
    """
    return ConfigError(f"{user} needs an extra: pip install 'feature-platform[{extra}]'.")


@contextmanager
def needing(package: str, user: str) -> Iterator[None]:
    """Say what needs a package that this one does not install.

    Raises:
        ConfigError: The package is missing.
    """
    try:
        yield
    except ModuleNotFoundError:
        raise ConfigError(f"{user} needs {package}: pip install {package}.") from None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the closest known name, or an empty string."""
    by_fold = {candidate.casefold(): candidate for candidate in candidates}
    close = get_close_matches(str(name).casefold(), by_fold, n=1, cutoff=_SIMILAR)
    return f" Did you mean {by_fold[close[0]]!r}?" if close else ""


_FEASTS = {
    NotFoundError: """EntityNotFoundException FeatureViewNotFoundException
        OnDemandFeatureViewNotFoundException FeatureServiceNotFoundException
        FeastObjectNotFoundException PushSourceNotFoundException DataSourceNotFoundException
        DataSourceObjectNotFoundException SavedDatasetNotFound ProjectNotFoundException
        ProjectObjectNotFoundException""",
    RequestError: """FeatureNameCollisionError RequestDataNotFoundInEntityDfException
        RequestDataNotFoundInEntityRowsException""",
    RefusedError: "ConflictingFeatureViewNames DataSourceRepeatNamesException",
}
_BY_FEASTS_NAME = {name: kind for kind, names in _FEASTS.items() for name in names.split()}


def __getattr__(name: str) -> type[FeaturePlatformError]:
    """Return what is raised where Feast raises an error of a name."""
    if name in _BY_FEASTS_NAME:
        return _BY_FEASTS_NAME[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
