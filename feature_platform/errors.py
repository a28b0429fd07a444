"""Every error a user can meet: one class per thing the caller can do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

_SHOWN = 50


class FeaturePlatformError(Exception):
    """Base class of all errors of this package.

    Attributes:
        retryable: Whether the same call may succeed later without any change.
    """

    retryable: ClassVar[bool] = False


class DefinitionError(FeaturePlatformError, ValueError):
    """A definition is wrong in itself: correct the code."""


class ConfigError(FeaturePlatformError, ValueError):
    """`feature_store.yaml` or a repo folder is wrong: correct it."""


class NotFoundError(FeaturePlatformError, LookupError):
    """A reference names something that is not registered: correct the reference."""


class ConflictError(FeaturePlatformError):
    """Another commit changed the same objects first: plan again."""


class UnknownOutcomeError(FeaturePlatformError):
    """The storage did not confirm whether the commit was written.

    Apply again: a commit that was written is detected, and nothing is applied twice.
    """

    retryable = True


class CorruptLogError(FeaturePlatformError):
    """The registry's log does not verify: run `feature-platform fsck`."""


class LogReplacedError(CorruptLogError):
    """The log was swapped or restored from a backup: start again from its current state."""


class RequestError(FeaturePlatformError, ValueError):
    """A retrieval or write request is wrong: correct the request."""


class SchemaError(FeaturePlatformError, ValueError):
    """Rows do not match the declared schema: correct the source or the definition."""


class StoreError(FeaturePlatformError):
    """A store failed and changed nothing: check the backend, or retry."""

    retryable = True


class PartialWriteError(StoreError):
    """Rows were written to some views and not to others: send them again.

    Sending them again is safe: rows that are stored already change nothing.

    Attributes:
        written: Views that were written.
        failed: Views that were not.
    """

    def __init__(self, *, written: tuple[str, ...], failed: tuple[str, ...], reason: str) -> None:
        self.written = written
        self.failed = failed
        super().__init__(
            f"Views {', '.join(failed)} were not written: {reason} Views {', '.join(written)} were "
            "written. Send the rows again; those that are stored already change nothing."
        )


class BusyError(StoreError):
    """The store was busy for too long and nothing was written: retry."""


class TransformationError(FeaturePlatformError):
    """On-demand code cannot be loaded, differs from what was registered, or failed: correct it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a plan is refused.

    Attributes:
        rule: The rule that was broken, such as `ownership` or `reference`.
        subject: The object that breaks it, written `kind name`.
        message: What is wrong and what to do about it.
        missing: The object that has to be registered first, if that is the only problem.
    """

    rule: str
    subject: str
    message: str
    missing: str | None = None

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}"


class RefusedError(FeaturePlatformError):
    """A plan breaks the registry's rules and nothing was written: correct what it lists."""

    def __init__(self, owner: str, project: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  - {problem} [{problem.rule}]" for problem in self.problems)
        super().__init__(
            f"Nothing was applied to project {project!r}: the plan of {owner!r} has "
            f"{count} problem{'s' if count > 1 else ''}.{lines}"
        )


def shown(value: object) -> str:
    """Return a value for messages, abbreviated if it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        text = f"a {type(value).__name__} that is too long to print"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the closest known name, or nothing."""
    by_fold = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(str(name).casefold(), by_fold, n=1)
    return f" Did you mean {by_fold[close[0]]!r}?" if close else ""
