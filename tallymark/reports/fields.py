"""Fields of a JSON request as protobuf's JSON mapping allows them.

Enums come as names or numbers, 64-bit integers as numbers or text, names in camelCase or
snake_case, and null means absent. What is said of a field that is not of its type is what Google's
own servers say, where that is known.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from tallymark.reports.problems import InvalidRequestError

MAX_DEPTH: Final = 40
_CAPITAL: Final = re.compile("[A-Z]")
_WHOLE: Final = re.compile("-?[0-9]{1,40}")
_PAYLOAD: Final = "Invalid JSON payload received."

Object = Mapping[str, Any]
Kind = TypeVar("Kind")


def normalised(value: Any, depth: int = 0) -> Any:
    """JSON with every field name in camelCase and without nulls.

    Raises:
        InvalidRequestError: when it is nested deeper than any request needs.
    """
    if depth > MAX_DEPTH:
        raise InvalidRequestError([f"The request is nested deeper than {MAX_DEPTH} levels."])
    if isinstance(value, dict):
        return {
            _camel(name): normalised(content, depth + 1)
            for name, content in value.items()
            if content is not None
        }
    if isinstance(value, list):
        return [normalised(content, depth + 1) for content in value]
    return value


def snake(name: str) -> str:
    """A place as protobuf names it: ``date_ranges[0]`` for ``dateRanges[0]``."""
    return _CAPITAL.sub(lambda found: f"_{found[0].lower()}", name)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


@dataclass(frozen=True)
class Enum:
    """An enum of the API: its name among Google's types, and its values by name."""

    name: str
    numbers: Mapping[str, int]

    @property
    def type(self) -> str:
        """As errors name it."""
        return f"type.googleapis.com/google.analytics.data.v1beta.{self.name}"


class Reader:
    """Reads the fields of one JSON object, and adds what is wrong to a list of problems."""

    def __init__(self, content: Any, where: str, problems: list[str]) -> None:
        self.where = where
        self.problems = problems
        self.content: Object = content if isinstance(content, dict) else {}
        if isinstance(content, dict):
            return
        if where:
            self.say(f"Invalid value at '{snake(where)}' (object), {shown(content)}")
        else:
            self.say(f'{_PAYLOAD} Unknown name "": Root element must be a message.')

    @classmethod
    def of(cls, document: Any) -> "Reader":
        """The reader of a whole request.

        Raises:
            InvalidRequestError: when it is no object, or nested too deeply.
        """
        reader = cls(normalised(document), "", [])
        if reader.problems:
            raise InvalidRequestError(reader.problems)
        return reader

    def check_property(self, property_id: int) -> None:
        """Complain where the request names another property; 0 stands for any."""
        if property_id and self.text("property") not in ("", f"properties/{property_id}"):
            self.complain(f"property: expected none or properties/{property_id}")

    def say(self, sentence: str) -> None:
        """Add a problem as it stands."""
        self.problems.append(sentence)

    def complain(self, what: str) -> None:
        """Add a problem of this object; ``what`` may lack its full stop."""
        sentence = what if what.endswith((".", "?")) else f"{what}."
        self.say(f"{self.where}: {sentence}" if self.where else sentence)

    def at(self, name: str) -> str:
        """The place of a field in the request."""
        return f"{self.where}.{name}" if self.where else name

    def only(self, *names: str) -> None:
        """Complain about fields that do not exist."""
        for name in self.content:
            if name not in names:
                place = f" at '{snake(self.where)}'" if self.where else ""
                self.say(f'{_PAYLOAD} Unknown name "{name:.100}"{place}: Cannot find field.')

    def object(self, name: str) -> "Reader | None":
        """A field that is an object; ``None`` when it is absent."""
        if name not in self.content:
            return None
        return Reader(self.content[name], self.at(name), self.problems)

    def objects(self, name: str) -> list["Reader"]:
        """A field that is a list of objects."""
        return [
            Reader(item, f"{self.at(name)}[{index}]", self.problems)
            for index, item in enumerate(self._list(name))
        ]

    def text(self, name: str) -> str:
        """A field of text; "" when it is absent."""
        return self._typed(name, str, "TYPE_STRING", "")

    def flag(self, name: str) -> bool:
        """A boolean field; false when it is absent."""
        return self._typed(name, bool, "TYPE_BOOL", default=False)

    def texts(self, name: str) -> list[str]:
        """A field that is a list of texts."""
        items = self._list(name)
        if not all(isinstance(item, str) for item in items):
            self._mistyped(name, "TYPE_STRING")
            return []
        return items

    def whole(self, name: str, default: int = 0) -> int:
        """A 64-bit integer, as a number or as text."""
        value = self.content.get(name, default)
        try:
            if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
                raise ValueError
            if isinstance(value, str) and not _WHOLE.fullmatch(value):
                raise ValueError
            number = int(value)
        except (ValueError, TypeError, OverflowError):
            self._mistyped(name, "TYPE_INT64")
            return default
        if not -(2**63) <= number < 2**63:
            self._mistyped(name, "TYPE_INT64")
            return default
        return number

    def decimal(self, name: str) -> float:
        """A double, as a number or as text."""
        value = self.content.get(name, 0.0)
        try:
            if isinstance(value, bool):
                raise ValueError
            return float(value)
        except (ValueError, TypeError, OverflowError):
            self._mistyped(name, "TYPE_DOUBLE")
            return 0.0

    def enum(self, name: str, values: Enum, default: str = "") -> str:
        """The name of an enum's value, given as its name or number; needed without default."""
        if name not in self.content and not default:
            self.complain(f"{name}: expected one of {', '.join(values.numbers)}")
            return default
        value = self.content.get(name, default)
        found = enum_name(value, values.numbers)
        if found is None:
            self._mistyped(name, values.type)
            return default
        return found

    def enums(self, name: str, values: Enum) -> tuple[str, ...]:
        """The names of a list of an enum's values."""
        found = []
        for index, item in enumerate(self._list(name)):
            known = enum_name(item, values.numbers)
            if known is None:
                place = snake(f"{self.at(name)}[{index}]")
                self.say(f"Invalid value at '{place}' ({values.type}), {shown(item)}")
            else:
                found.append(known)
        return tuple(dict.fromkeys(found))

    def _list(self, name: str) -> list[Any]:
        return self._typed(name, list, "list", [])

    def _typed(self, name: str, kind: type[Kind], expected: str, default: Kind) -> Kind:
        value = self.content.get(name, default)
        if isinstance(value, kind):
            return value
        self._mistyped(name, expected)
        return default

    def _mistyped(self, name: str, expected: str) -> None:
        place, value = snake(self.at(name)), shown(self.content[name])
        self.say(f"Invalid value at '{place}' ({expected}), {value}")


def shown(value: object) -> str:
    """A value of a request as JSON has it, cut."""
    try:
        return f"{orjson.dumps(value).decode():.100}"
    except (orjson.JSONEncodeError, UnicodeDecodeError):
        return f"{value!r:.100}"


def enum_name(value: object, numbers: Mapping[str, int]) -> str | None:
    """The name of an enum's value; ``None`` when there is no such value."""
    if isinstance(value, str):
        if value in numbers:
            return value
        value = int(value) if value.isdecimal() and value.isascii() else None
    if isinstance(value, bool):
        return None
    return next((name for name, number in numbers.items() if number == value), None)
