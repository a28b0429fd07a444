"""The base of all definitions: names, equality by content, canonical JSON, validation errors."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache, cached_property
from hashlib import sha256
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from feature_platform.definitions.feast_arguments import (
    ATTRIBUTES,
    FeastArgument,
    explain_attribute,
    without,
)
from feature_platform.errors import DefinitionError, abbreviate, did_you_mean

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
"""Name of a project or an owner."""
Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*([ -][A-Za-z0-9_]+)*$", max_length=63)
]
"""Name of an object. It is quoted wherever it becomes part of SQL."""
ColumnName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_]+([ -][A-Za-z0-9_]+)*$", max_length=128)
]

_SEPARATORS = str.maketrans("- ", "__")
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_INVALID_NAME = (
    "{input!r} is not a valid name. Use ASCII letters, digits and underscores, starting with a "
    "letter or digit, with single hyphens or spaces between them (at most 63 characters)."
)
_MESSAGES = {
    "string_pattern_mismatch": _INVALID_NAME,
    "string_too_long": _INVALID_NAME,
    "missing": "is required.{remedy}",
    "too_short": "is empty.",
    "string_type": "{input!r} is not text.",
    "model_type": "{input!r} is not a {class_name}.",
}


_PRINTS_SCHEMA = " `feature-platform schema PATH` prints it from the columns of a file."


def label_of(kind: str) -> str:
    """Return a kind as messages write it, such as `feature view`."""
    return kind.replace("on_demand", "on-demand").replace("_", " ")


def is_identifier(text: str) -> bool:
    """Return whether a text is a valid name of a project or a team."""
    return _is_valid(_IDENTIFIER, text)


def is_name(text: str) -> bool:
    """Return whether a text is a valid name of an object."""
    return _is_valid(_NAME, text)


def separators_folded(name: str) -> str:
    """Return a name with underscores for hyphens and spaces, as Dagster's steps have them.

    Names in one place may not be equal then.
    """
    return name.translate(_SEPARATORS)


def _is_valid(adapter: TypeAdapter[str], text: object) -> bool:
    if not isinstance(text, str):  # pydantic reads bytes as text
        return False
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


class FrozenDict(dict[str, Any]):
    """An immutable dict, safe to share."""

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
    """An immutable value, validated on construction.

    Raises:
        DefinitionError: Arguments are invalid; all of them are listed.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,  # they are not JSON
    )
    feast_arguments: ClassVar[Mapping[str, FeastArgument]] = {}
    """Arguments that Feast has here and this package has not."""

    def __init__(self, *args: Any, **data: Any) -> None:
        if args:
            names = ", ".join(_arguments(type(self)))
            raise DefinitionError(f"{type(self).__name__} takes keyword arguments only: {names}.")
        if unreadable := [name for name, value in data.items() if isinstance(value, bytes)]:
            raise DefinitionError(f"{type(self).__name__}: {unreadable[0]}: bytes are not text.")
        try:
            super().__init__(**without(_label(type(self), data), data, self.feast_arguments))
        except ValidationError as error:
            raise DefinitionError(_explain(type(self), data, error)) from None
        except ValueError as error:
            raise DefinitionError(str(error)) from None
        except (TypeError, RecursionError) as error:  # of arguments that are no values at all
            label = type(self).__name__
            raise DefinitionError(f"{label}: an argument cannot be read: {error}.") from error

    if not TYPE_CHECKING:  # type checkers would accept every name

        def __getattr__(self, name: str) -> Any:
            if name in ATTRIBUTES["Value"]:
                raise explain_attribute(self, "Value", name)
            return super().__getattr__(name)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if (
                field.repr
                and name != "type"
                and value != field.get_default(call_default_factory=True)
            ):
                yield field.alias or name, value

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise DefinitionError(_frozen(self, name))
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise DefinitionError(_frozen(self, name))


def _frozen(value: Value, name: str) -> str:
    return (
        f"{type(value).__name__}.{name} is frozen. Create a new definition, or a copy: "
        f"model_copy(update={{{name!r}: ...}})."
    )


class Deprecation(Value):
    """A notice with a date, after which an owner may break readers of an object or a feature.

    Attributes:
        remove_after: The last day (UTC) on which readers can rely on it.
        reason: Why it is deprecated.
        replacement: What to use instead.

    Example:
        >>> Deprecation(remove_after="2026-12-31", replacement="hourly_weather_v2").remove_after
        datetime.date(2026, 12, 31)
    """

    remove_after: date
    reason: str = ""
    replacement: str = ""

    def has_passed(self, today: date) -> bool:
        """Return whether readers can no longer rely on the deprecated object."""
        return today > self.remove_after

    def __str__(self) -> str:
        remedy = f"; use {self.replacement}" if self.replacement else ""
        reason = f" ({self.reason})" if self.reason else ""
        return f"deprecated, supported until {self.remove_after}{remedy}{reason}"


class Dependency(NamedTuple):
    """An object that a definition names.

    Attributes:
        namespace: Namespace of its name, such as `entity`; both kinds of views share one.
        name: Its name.
        project: Its project; empty for the project of the definition.
    """

    namespace: str
    name: str
    project: str = ""


class Definition(Value):
    """An object that exactly one owner registers.

    Attributes:
        name: Unique among objects of its kind in the project, ignoring case.
        description: Description for the catalog.
        tags: Free labels, visible to every reader of the registry; never put secrets here.
        owner: Contact. Write access follows from the repo or key that registered the object.
        deprecated: Notice of removal, with a date and a replacement.
    """

    kind: ClassVar[str]
    namespace: ClassVar[str] = ""
    """Names are unique within it; the kind if empty."""
    joins: ClassVar[bool] = True
    """Whether the rows of its references are joined, so that their keys must agree."""

    name: Name
    description: str = ""
    tags: Labels = NO_LABELS
    owner: str = ""
    deprecated: Deprecation | None = None
    _place: tuple[str, int] | None = PrivateAttr(default=None)
    _is_validated: bool = PrivateAttr(default=False)

    def __init__(self, *args: Any, **data: Any) -> None:
        super().__init__(*args, **data)
        self._place = _caller()
        self._is_validated = True

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Definition) and self.to_json() == other.to_json()
        )

    def __hash__(self) -> int:
        return hash(self.to_json())

    @property
    def is_validated(self) -> bool:
        """Whether the values were validated; not those of `model_construct`."""
        return self._is_validated

    @property
    def place(self) -> tuple[str, int] | None:
        """File and line that created the definition; `None` if it was read from the registry."""
        return self._place

    def to_json(self) -> str:
        """Return canonical JSON; equal text means equal definitions."""
        return self.canonical

    @cached_property
    def canonical(self) -> str:
        content = self.model_dump(mode="json", exclude_defaults=True)
        content["type"] = type(self).model_fields["type"].default
        return json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with updated values, which are validated like those of a new definition.

        Raises:
            DefinitionError: A value is invalid.
        """
        names = {field.alias: name for name, field in type(self).model_fields.items()}
        renamed = {names.get(name, name): value for name, value in (update or {}).items()}
        copy = super().model_copy(update=renamed, deep=deep)
        content = {name: getattr(copy, name) for name in copy.model_fields_set}
        object.__setattr__(copy, "__dict__", type(self)(**content).__dict__)
        return copy

    def digest(self) -> str:
        return sha256(self.to_json().encode()).hexdigest()

    @property
    def references(self) -> tuple[Any, ...]:
        """References to views (`ViewReference`), in order."""
        return ()

    def dependencies(self) -> Iterable[Dependency]:
        """Yield the dependencies of this definition, as written."""
        return dict.fromkeys(reference.dependency for reference in self.references)

    @property
    def is_unnamed(self) -> bool:
        """Whether the name was derived from other values."""
        return False

    @property
    def fault(self) -> str:
        """Why the object cannot be used whatever it refers to; empty for all but stand-ins."""
        return ""

    def deprecations(self) -> dict[str, Deprecation]:
        """Return field name → deprecation; an empty name stands for the object itself."""
        return {"": self.deprecated} if self.deprecated else {}

    def related(self) -> Iterable["Definition"]:
        """Yield definitions passed in place of a name, which are registered with this one."""
        return ()

    def __str__(self) -> str:
        return f"{label_of(self.kind)} {self.name!r}"


def with_related(definitions: Iterable[Definition]) -> list[Definition]:
    """Return definitions together with those nested in them.

    Raises:
        DefinitionError: Two different definitions share a name.
    """
    collected = {(d.kind, d.name): d for d in definitions}
    for definition in list(collected.values()):
        for nested in definition.related():
            if collected.setdefault((nested.kind, nested.name), nested) != nested:
                message = f"uses a {nested} that differs from another {nested}. Rename one."
                raise DefinitionError(f"{definition} {message}")
    return list(collected.values())


def name_of(value: object) -> object:
    """Return the name of a definition, or any other value unchanged, for validation."""
    return value.name if isinstance(value, Definition) else value


def _caller() -> tuple[str, int] | None:
    """Return the nearest file and line outside this package and pydantic."""
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


class _Shown:
    """A value whose repr is short, and that can be shown whatever it is."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return abbreviate(self._value)


def _explain(cls: type[BaseModel], data: dict[str, Any], error: ValidationError) -> str:
    reasons = []
    items = error.errors(include_url=False)
    with_invalid_items = {item["loc"][:-1] for item in items}
    for item in items:
        if item["type"] == "too_short" and item["loc"] in with_invalid_items:
            continue  # pydantic counts valid items only
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            names = _arguments(cls)
            reason = f"is not an argument.{did_you_mean(path, names)} Valid: {', '.join(names)}."
        elif item["type"] in _MESSAGES:
            remedy = _PRINTS_SCHEMA if path == "schema" else ""
            reason = _MESSAGES[item["type"]].format(
                input=_Shown(item["input"]), remedy=remedy, **item.get("ctx", {})
            )
        elif item["type"] == "value_error":
            reason = str(item["ctx"]["error"])
        else:
            reason = f"{item['msg']}; got {abbreviate(item['input'])}."
        reasons.append(f"{path}: {reason}" if path else reason)
    return f"{_label(cls, data)}: " + " ".join(reasons)


def _label(cls: type[BaseModel], data: Mapping[str, Any]) -> str:
    name = data.get("name")
    return f"{cls.__name__} {name!r}" if isinstance(name, str) else cls.__name__
