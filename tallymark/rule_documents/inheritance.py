"""Inheritance: rules that say what differs, and take every part they do not say from defaults.

A part is a field of the document, such as ``filters``: one that is said replaces the defaults' part
whole, lists and all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tallymark.rule_documents.rules import parse_rules


@dataclass(frozen=True)
class StatedRules:
    """Rules as they are said, and as they hold.

    Attributes:
        said: The parts that the document itself says.
        whole: All parts: ``parse_rules`` of it are the rules.
    """

    said: dict[str, Any]
    whole: dict[str, Any]

    @property
    def inherited(self) -> list[str]:
        """Names of the parts that are not said."""
        return [name for name in self.whole if name not in self.said]


def stated_rules(document: object, defaults: Mapping[str, Any]) -> StatedRules:
    """The rules of a document that need not say everything.

    Args:
        document: What JSON or YAML was read into.
        defaults: A document that is right by itself; what it does not say has the default of
            ``Rules``.

    Raises:
        InvalidRulesError: with all that is wrong once both are put together.
    """
    own: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
    together = {**defaults, **own}
    whole = parse_rules(together if isinstance(document, Mapping) else document).document()
    return StatedRules(said={name: whole.get(name) for name in own}, whole=whole)


def differing_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """Names of the parts of which two documents, made whole, say something else."""
    old, new = parse_rules(dict(before)).document(), parse_rules(dict(after)).document()
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
