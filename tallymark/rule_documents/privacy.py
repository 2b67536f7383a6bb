"""Privacy: what is done with hits whose visitors refuse or object."""

from typing import Final, Literal

from tallymark.hits import ANALYTICS_DENIED, DO_NOT_TRACK, GLOBAL_PRIVACY_CONTROL
from tallymark.rule_documents.models import RuleModel

Answer = Literal["count", "anonymise", "exclude"]
IpPolicy = Literal["network", "country_hint", "none"]
MARKS: Final = {
    "analytics_denied": ANALYTICS_DENIED,
    "do_not_track": DO_NOT_TRACK,
    "global_privacy_control": GLOBAL_PRIVACY_CONTROL,
}
"""The mark in a hit's ``consent`` that each part of ``Consent`` answers."""
EXCLUDED_BY: Final = {
    "analytics_denied": "consent_denied",
    "do_not_track": DO_NOT_TRACK,
    "global_privacy_control": GLOBAL_PRIVACY_CONTROL,
}
"""What ``excluded_by`` says of a hit that does not count for it."""


class ConsentAnswer(RuleModel):
    """What is done with the hits that one mark is on."""

    name: str
    answer: Answer


class Consent(RuleModel):
    """What is done with hits whose visitors refuse or object: ``count`` them as they were sent,
    ``anonymise`` them (they count without an identity that lasts), or ``exclude`` them (they are
    kept without it, and do not count).

    Attributes:
        analytics_denied: Consent to analytics was denied.
        do_not_track: The browser sends Do Not Track.
        global_privacy_control: The browser sends Global Privacy Control.
    """

    analytics_denied: Answer = "count"
    do_not_track: Answer = "count"
    global_privacy_control: Answer = "count"

    @property
    def answers(self) -> tuple[ConsentAnswer, ...]:
        """Those that are not ``count``."""
        named = ((name, getattr(self, name)) for name in MARKS)
        return tuple(
            ConsentAnswer(name=name, answer=answer) for name, answer in named if answer != "count"
        )
