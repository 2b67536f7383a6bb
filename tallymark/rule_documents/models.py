"""What all parts of a rules document have in common."""

import re
from functools import lru_cache
from typing import Annotated, Any, Final, NoReturn

import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

MAX_TEXT: Final = 500
"""Characters of a text in a rule."""
_MAX_CHECKED: Final = 20_000
MAX_LIST: Final = 200
"""Entries of a list in a rule."""


class RuleModel(BaseModel):
    """A part of a document: immutable, closed, and of exactly the types that it names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, serialize_by_alias=True
    )


def refuse(allowed: str) -> NoReturn:
    """Say what is allowed in place of what came; for validators."""
    raise PydanticCustomError("refused", "{allowed}", {"allowed": allowed})


def _pattern(text: str) -> str:
    if reason := _trouble_with(text):
        refuse(
            "a regular expression without look-around and references back, of moderate size "
            f"({reason[-200:]})"
        )
    return text


@lru_cache(maxsize=_MAX_CHECKED)
def _trouble_with(pattern: str) -> str:
    """Why the engine that will run a pattern refuses it; "" if it does not. It takes linear time:
    it has no look-around and no references back, and refuses what would grow too large."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        return " ".join(str(error).split("This error occurred")[0].split())
    return ""


def _fits(pattern: str, allowed: str, most: int) -> tuple[Any, ...]:
    """What makes of ``str`` a text that matches ``pattern`` as a whole."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if len(text) > most or not compiled.fullmatch(text):
            refuse(allowed)
        return text

    shown: JsonDict = {"pattern": f"^{pattern}$", "maxLength": most}
    return AfterValidator(check), Field(description=allowed, json_schema_extra=shown)


_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=80)]
"""What people call something; as long as in GA4."""
AnyText = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Pattern = Annotated[Text, AfterValidator(_pattern)]
EventName = Annotated[
    str, *_fits("[A-Za-z][A-Za-z0-9_]{0,39}", "a letter, then up to 39 letters, digits or _", 40)
]
ParameterName = Annotated[
    str, *_fits(r"[A-Za-z0-9_.\-]{1,40}", "1 to 40 letters, digits, _, . or -", 40)
]
FilterName = Annotated[
    str, *_fits("[a-z][a-z0-9_]{0,39}", "a small letter, then up to 39 of a-z, 0-9 or _", 40)
]
Host = Annotated[
    str,
    *_fits(
        rf"{_LABEL}(?:\.{_LABEL})*",
        "a host in lower case, without scheme, port or path, such as shop.example.com",
        253,
    ),
]
Currency = Annotated[
    str, *_fits("[A-Z]{3}", "an ISO 4217 code of three capital letters, such as EUR", 3)
]


def given(model: BaseModel, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of the fields that the document names."""
    return {name: value for name in names if (value := getattr(model, name)) is not None}
