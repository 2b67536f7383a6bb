"""Rules documents: what a property decides about its hits, as people write it down."""

from tallymark.rule_documents.rules import InvalidRulesError, Rules, parse_rules

__all__ = ["InvalidRulesError", "Rules", "parse_rules"]
