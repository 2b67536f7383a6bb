"""Checks of what people send: every problem with its place, what came and what is allowed."""

from typing import Final

from pydantic import ValidationError

from config_api.errors import InvalidConfigurationError
from tallymark.problems import Problem

MAX_NAME_CHARACTERS: Final = 100
MAX_COMMENT_CHARACTERS: Final = 1_000
_ALLOWED: Final = {
    "missing": "something: it has to be said",
    "extra_forbidden": "nothing of this name",
}


def name_problems(name: str, where: str = "name") -> list[Problem]:
    """What is wrong with the name of something, which is for people."""
    if name.strip() and name.isprintable() and len(name) <= MAX_NAME_CHARACTERS:
        return []
    allowed = f"1 to {MAX_NAME_CHARACTERS} printable characters"
    return [Problem(where=where, got=name, allowed=allowed)]


def comment_problems(comment: str) -> list[Problem]:
    """What is wrong with a comment on a version."""
    is_text = all(character.isprintable() or character == "\n" for character in comment)
    if is_text and len(comment) <= MAX_COMMENT_CHARACTERS:
        return []
    allowed = f"up to {MAX_COMMENT_CHARACTERS} printable characters and line ends"
    return [Problem(where="comment", got=comment, allowed=allowed)]


def refuse_if(problems: list[Problem]) -> None:
    """Raises ``InvalidConfigurationError`` with the problems, if there are any."""
    if problems:
        raise InvalidConfigurationError(problems)


def invalid(error: ValidationError, where: str) -> InvalidConfigurationError:
    """All that a model found wrong, each with its place."""
    return InvalidConfigurationError(
        [
            Problem(
                where=_place(each["loc"], where),
                got="nothing" if each["type"] == "missing" else each["input"],
                allowed=_ALLOWED.get(each["type"], each["msg"]),
            )
            for each in error.errors()
        ]
    )


def _place(places: tuple[int | str, ...], where: str) -> str:
    place = ""
    for each in places:
        place += f"[{each}]" if isinstance(each, int) else f".{each}"
    return place.removeprefix(".") or where
