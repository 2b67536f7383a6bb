"""The delay between the saving of rules and their effect."""

from typing import Final

RULES_DELAY_SECONDS: Final = 30
"""A version takes effect this long after it is saved, so that every worker knows it by then."""
