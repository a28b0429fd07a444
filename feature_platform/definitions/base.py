"""What all definitions share: names, equality by content, one JSON form, clear errors."""

import json
import sys
from collections.abc import Iterable
from datetime import date
from functools import cache, cached_property
from hashlib import sha256
from types import FrameType
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from feature_platform.errors import DefinitionError, did_you_mean

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]

_NAME = TypeAdapter(Name)
_MESSAGES = {
    "string_pattern_mismatch": "{input!r} is not a valid name: use a letter followed by letters, "
    "digits and underscores (ASCII, at most 63 characters).",
    "missing": "is required.",
    "too_short": "is empty.",
}


def is_name(text: str) -> bool:
    """Return whether a text is a valid name of a project, a team or an object."""
    try:
        _NAME.validate_python(text)
    except ValidationError:
        return False
    return True


class FrozenDict(dict[str, Any]):
    """An immutable dict."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("definitions are immutable; create a new one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


Labels = Annotated[dict[str, str], AfterValidator(FrozenDict)]
NO_LABELS = FrozenDict()


class Value(BaseModel):
    """An immutable value, checked when it is built.

    Raises:
        DefinitionError: An argument is wrong; every wrong one is listed.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True
    )

    def __init__(self, *args: Any, **data: Any) -> None:
        if args:
            names = ", ".join(_arguments(type(self)))
            raise DefinitionError(f"{type(self).__name__} takes keyword arguments: {names}.")
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise DefinitionError(_explain(type(self), data, error)) from None


class Deprecation(Value):
    """A notice that something will be changed or removed, with the last day readers can rely on it.

    Attributes:
        remove_after: Readers can rely on it until this day (UTC). Then its owner may break them.
        reason: Why.
        replacement: What to use instead.

    Example:
        >>> Deprecation(remove_after="2026-12-31", replacement="hourly_weather_v2").remove_after
        datetime.date(2026, 12, 31)
    """

    remove_after: date
    reason: str = ""
    replacement: str = ""

    def has_passed(self, today: date) -> bool:
        """Return whether readers can no longer rely on it."""
        return today > self.remove_after

    def __str__(self) -> str:
        instead = f"; use {self.replacement}" if self.replacement else ""
        why = f" ({self.reason})" if self.reason else ""
        return f"deprecated, kept until {self.remove_after}{instead}{why}"


class Dependency(NamedTuple):
    """An object that a definition names.

    Attributes:
        namespace: The namespace of its name, such as `entity`; views of both kinds share one.
        name: Its name.
        project: Its project; empty for the project of the definition.
    """

    namespace: str
    name: str
    project: str = ""


class Definition(Value):
    """An object that exactly one owner registers.

    Attributes:
        name: Unique in its project and namespace, ignoring case.
        description: Text for the catalog.
        tags: Free labels; everyone who can read the registry sees them, so no secrets.
        owner: Contact. Who may change the object depends on the repo that registered it.
        deprecated: When it will be removed, and what to use instead.
    """

    kind: ClassVar[str]
    namespace: ClassVar[str] = ""
    """Within it names are unique; the kind if empty."""

    name: Name
    description: str = ""
    tags: Labels = NO_LABELS
    owner: str = ""
    deprecated: Deprecation | None = None
    _place: tuple[str, int] | None = PrivateAttr(default=None)

    def __init__(self, *args: Any, **data: Any) -> None:
        super().__init__(*args, **data)
        self._place = _caller()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definition) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    @property
    def place(self) -> tuple[str, int] | None:
        """File and line of the definition; `None` if it was read from the registry."""
        return self._place

    def to_json(self) -> str:
        """Return the canonical JSON form: equal text means equal definitions."""
        return self.canonical

    @cached_property
    def canonical(self) -> str:
        """The canonical JSON form."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        content["type"] = type(self).model_fields["type"].default
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def model_copy(self, **options: Any) -> Self:
        """Return a copy with updated values."""
        copy = super().model_copy(**options)
        copy.__dict__.pop("canonical", None)
        return copy

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form."""
        return sha256(self.to_json().encode()).hexdigest()

    @property
    def references(self) -> tuple[Any, ...]:
        """The references to views, `ViewReference` objects, in order."""
        return ()

    def dependencies(self) -> Iterable[Dependency]:
        """Yield every object that this one names, as it names them."""
        return dict.fromkeys(reference.dependency for reference in self.references)

    def deprecations(self) -> dict[str, Deprecation]:
        """Return the deprecation of the object, under an empty name, and those of its fields."""
        return {"": self.deprecated} if self.deprecated else {}

    def related(self) -> Iterable["Definition"]:
        """Yield definitions that were passed to this one in place of their names."""
        return ()

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


def with_related(definitions: Iterable[Definition]) -> list[Definition]:
    """Return definitions and those that were only passed to another one.

    Raises:
        DefinitionError: Two different definitions have the same name.
    """
    by_name = {(d.kind, d.name): d for d in definitions}
    for definition in list(by_name.values()):
        for extra in definition.related():
            if by_name.setdefault((extra.kind, extra.name), extra) != extra:
                raise DefinitionError(
                    f"{definition} contains a {extra} that differs from another {extra}. "
                    "Rename one of them."
                )
    return list(by_name.values())


def name_of(value: object) -> object:
    """Return the name of a definition, and anything else unchanged, for validation."""
    return value.name if isinstance(value, Definition) else value


def _caller() -> tuple[str, int] | None:
    """Return the nearest file and line outside of this package and pydantic."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - public in all but name
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in {"feature_platform", "pydantic"}:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


@cache
def _arguments(cls: type[BaseModel]) -> tuple[str, ...]:
    fields = cls.model_fields.items()
    return tuple(f.alias or name for name, f in fields if name != "type")


def _explain(cls: type[BaseModel], data: dict[str, Any], error: ValidationError) -> str:
    label = (
        f"{cls.__name__} {data['name']!r}" if isinstance(data.get("name"), str) else cls.__name__
    )
    reasons = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            names = _arguments(cls)
            hint = did_you_mean(path, names)
            reason = f"is not an argument.{hint} Arguments: {', '.join(names)}."
        elif item["type"] in _MESSAGES:
            reason = _MESSAGES[item["type"]].format(input=item["input"])
        elif item["type"] == "value_error":
            reason = str(item["ctx"]["error"])
        else:
            reason = f"{item['msg']}, not {item['input']!r}."
        reasons.append(f"{path}: {reason}" if path else reason)
    return f"{label}: " + " ".join(reasons)
