"""Problems of properties: all that is wrong with one, or with a document of them, together."""

import re

from tallymark.problems import Problem


class InvalidPropertyError(ValueError):
    """All problems of a property or of a document of properties, together."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def list_problems(
    names: object, pattern: re.Pattern[str], where: str, allowed: str
) -> list[Problem]:
    """What is wrong with a list of texts that all have a pattern."""
    if not isinstance(names, list | tuple):
        return [Problem(where=where, got=names, allowed=allowed)]
    return [
        problem
        for index, name in enumerate(names)
        for problem in text_problems(name, pattern, f"{where}[{index}]", allowed)
    ]


def text_problems(
    text: object, pattern: re.Pattern[str], where: str, allowed: str
) -> list[Problem]:
    """What is wrong with a text that has a pattern."""
    if isinstance(text, str) and pattern.fullmatch(text):
        return []
    return [Problem(where=where, got=text, allowed=allowed)]
