"""Rules documents as this service keeps, checks and compares them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from tallymark.problems import Problem
from tallymark.rule_documents import InvalidRulesError
from tallymark.rule_documents.inheritance import StatedRules, stated_rules

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
"""Defaults of an organisation that says nothing."""


def checked_rules(
    document: object, where: str = "rules", *, defaults: Mapping[str, Any] = NOTHING
) -> tuple[StatedRules | None, list[Problem]]:
    """The rules of a document, and what is wrong with it: one of them is empty.

    Args:
        document: What is said.
        where: What it is called.
        defaults: What holds where it says nothing.
    """
    try:
        return stated_rules(document, defaults), []
    except InvalidRulesError as error:
        return None, [_placed(problem, where) for problem in error.problems]


def _placed(problem: Problem, where: str) -> Problem:
    if problem.where == "document":
        return replace(problem, where=where)
    return replace(problem, where=f"{where}.{problem.where}" if where else problem.where)


def rules_differences(before: object, after: object, where: str = "") -> list[dict[str, object]]:
    """What differs between two documents: ``where``, ``from``, ``to``, in the order of the names.

    Lists are compared entry by entry; what only one side has is null on the other.
    """
    return list(_differences(before, after, where))


def _differences(before: object, after: object, where: str) -> Iterator[dict[str, object]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            place = f"{where}.{name}" if where else name
            yield from _differences(before.get(name), after.get(name), place)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old, new = (each[index] if index < len(each) else None for each in (before, after))
            yield from _differences(old, new, f"{where}[{index}]")
    elif before != after or type(before) is not type(after):
        yield {"where": where or "document", "from": before, "to": after}
