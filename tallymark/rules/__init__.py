"""Rules: a property's versions and settings, put to the hits that they are in force for."""

from tallymark.rules.claims import Claimed, claimed, settings_of, versions_of
from tallymark.rules.judging import OTHER_HOST, RULED, Judged, judged
from tallymark.rules.rewriting import rewritten
from tallymark.rules.secrets import with_proved

__all__ = [
    "OTHER_HOST",
    "RULED",
    "Claimed",
    "Judged",
    "claimed",
    "judged",
    "rewritten",
    "settings_of",
    "versions_of",
    "with_proved",
]
