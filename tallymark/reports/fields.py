"""Fields of a JSON request as protobuf's JSON mapping allows them.

Enums come as names or numbers, 64-bit integers as numbers or text, names in camelCase or
snake_case, and null means absent.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from tallymark.reports.problems import InvalidRequestError

MAX_DEPTH: Final = 40

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


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class Reader:
    """Reads the fields of one JSON object, and adds what is wrong to a list of problems."""

    def __init__(self, content: Any, where: str, problems: list[str]) -> None:
        self.where = where
        self.problems = problems
        self.content: Object = content if isinstance(content, dict) else {}
        if not isinstance(content, dict):
            self.complain(f"expected an object, got {content!r:.100}")

    def complain(self, what: str) -> None:
        """Add a problem of this object; ``what`` may lack its full stop."""
        sentence = what if what.endswith((".", "?")) else f"{what}."
        self.problems.append(f"{self.where}: {sentence}" if self.where else sentence)

    def at(self, name: str) -> str:
        """The place of a field in the request."""
        return f"{self.where}.{name}" if self.where else name

    def only(self, *names: str) -> None:
        """Complain about fields that do not exist."""
        for name in self.content:
            if name not in names:
                self.complain(f'Unknown name "{name:.100}": Cannot find field')

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
        return self._typed(name, str, "text", "")

    def flag(self, name: str) -> bool:
        """A boolean field; false when it is absent."""
        return self._typed(name, bool, "true or false", default=False)

    def texts(self, name: str) -> list[str]:
        """A field that is a list of texts."""
        items = self._list(name)
        if not all(isinstance(item, str) for item in items):
            self.complain(f"{name}: expected a list of texts, got {items!r:.100}")
            return []
        return items

    def whole(self, name: str, default: int = 0) -> int:
        """A 64-bit integer, as a number or as text."""
        value = self.content.get(name, default)
        try:
            if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
                raise ValueError
            number = int(value)
        except (ValueError, TypeError, OverflowError):
            self.complain(f"{name}: expected a whole number, got {value!r:.100}")
            return default
        if not -(2**63) <= number < 2**63:
            self.complain(f"{name}: expected a 64-bit number, got {value!r:.100}")
            return default
        return number

    def decimal(self, name: str) -> float:
        """A double, as a number or as text."""
        value = self.content.get(name, 0.0)
        try:
            return float(value)
        except (ValueError, TypeError):
            self.complain(f"{name}: expected a number, got {value!r:.100}")
            return 0.0

    def enum(self, name: str, numbers: Mapping[str, int], default: str = "") -> str:
        """The name of an enum's value, given as its name or number; needed without default."""
        value = self.content.get(name, default)
        found = enum_name(value, numbers)
        if found is None:
            self.complain(f"{name}: expected one of {', '.join(numbers)}, got {value!r:.100}")
            return default
        return found

    def enums(self, name: str, numbers: Mapping[str, int]) -> tuple[str, ...]:
        """The names of a list of an enum's values."""
        found = [(item, enum_name(item, numbers)) for item in self._list(name)]
        for item, known in found:
            if known is None:
                allowed = ", ".join(numbers)
                self.complain(f"{name}: expected values of {allowed}, got {item!r:.100}")
        return tuple(dict.fromkeys(known for _, known in found if known is not None))

    def _list(self, name: str) -> list[Any]:
        return self._typed(name, list, "a list", [])

    def _typed(self, name: str, kind: type[Kind], expected: str, default: Kind) -> Kind:
        value = self.content.get(name, default)
        if isinstance(value, kind):
            return value
        self.complain(f"{name}: expected {expected}, got {value!r:.100}")
        return default


def enum_name(value: object, numbers: Mapping[str, int]) -> str | None:
    """The name of an enum's value; ``None`` when there is no such value."""
    if isinstance(value, str):
        if value in numbers:
            return value
        value = int(value) if value.isdecimal() and value.isascii() else None
    if isinstance(value, bool):
        return None
    return next((name for name, number in numbers.items() if number == value), None)
