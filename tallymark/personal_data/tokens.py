"""Tokens: encoded text cut where no escape is cut in two, and those that are personal data.

Texts come percent-encoded once or more often, in JSON with its own escapes too. They are not
decoded: what is left of them must be what was sent, to the byte. A lexer cuts a text into tokens
that together are the text; at each place it tries addresses and numbers first, then words, then
escapes. A token never depends on what stands before it, and what a token is replaced by begins
and ends where tokens do, so that a text which was gone over is never changed again.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

PRESETS: Final = ("mail", "phone", "card")
"""What can be looked for: mail addresses, phone numbers, payment card numbers."""

_HEX: Final = "[0-9A-Fa-f]"
_DEEP: Final = "%(?:25)*"
"""Begins an escape of any depth: ``%40``, ``%2540``, …"""
_ESCAPE: Final = f"{_DEEP}{_HEX}{{2}}"
_HIGH: Final = f"[89A-Fa-f]{_HEX}"
_END: Final = r"(?-u:\b)"
_EQUALS: Final = f"(?:=|{_DEEP}3[Dd])"
_BEHIND_NAME: Final = f"(?:\\]|{_DEEP}5[Dd])?(?:[=:]|{_DEEP}3[AaDd])"
_PHONE_WORD: Final = (
    r"(?:phone|tel(?:ephone|efon|efono)?|mobile?|msisdn|cell|handy|fax|whatsapp|callto|sms)"
    r"(?:[_.\-]?(?:number|nummer|num|nr|no))?"
)
_PHONE_NAME: Final = (
    rf"(?i:(?:[a-z0-9]+[_.\-])*(?:{_PHONE_WORD}|[a-z]+phone(?:[_.\-]?(?:number|num|nr|no))?))"
)
_NUMBER_NAME: Final = (
    r"(?i:(?:[a-z0-9]+[_.\-])*"
    r"(?:[a-z]*id|sku|ean|gtin|isbn|order|transaction|article|product|item))"
)
"""In addresses of pages: what is named so is a number by nature."""


@dataclass(frozen=True)
class Grammar:
    """The patterns of one kind of text; see ``grammar``.

    Attributes:
        lexer: Cuts a text into tokens.
        mail: The tokens that are mail addresses.
        phone: The tokens that may be phone numbers; see ``phones``.
        card: The tokens that may be card numbers; see ``cards``.
    """

    lexer: str
    mail: str
    phone: str
    card: str


@cache
def grammar(kinds: tuple[str, ...], *, in_json: bool) -> Grammar:
    """The patterns of query strings and addresses, or of texts in JSON.

    Args:
        kinds: Some of ``PRESETS``; those that are looked for.
        in_json: Whether backslashes are escapes, and a plus is no space.
    """
    spelling = _Spelling(in_json)
    found = {"mail": spelling.mail(), "phone": spelling.phone(), "card": spelling.card()}
    wanted = [found[kind] for kind in PRESETS if kind in kinds]
    return Grammar("(?s)" + "|".join([*wanted, spelling.others()]), *map(_whole, found.values()))


def _whole(pattern: str) -> str:
    return f"(?s)^(?:{pattern})$"


RETINA: Final = (
    rf"(?:@|{_DEEP}40)[1-4](?:\.[0-9])?x\.(?i:png|jpe?g|gif|webp|avif|svg|ico|bmp|css|js)$"
)
"""Images for sharp screens, ``logo@2x.png``, look like addresses."""


@dataclass(frozen=True)
class _Spelling:
    in_json: bool

    def _or_json(self, pattern: str) -> str:
        return f"|{pattern}" if self.in_json else ""

    def mail(self) -> str:
        """An address whose ``@`` is written at one depth, the signs of its name at least so deep:
        a plus that is less deep is a space."""
        wide = r"\\u(?:00[89A-Fa-f]|0[1-9A-Fa-f]H|[1-9A-Fa-f]HH)H".replace("H", _HEX)
        letter = self._or_json(r"\\u00(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])")
        sign = self._or_json(r"\\u00(?:2[BbDdEe7]|5[Ff])")
        at_once = "(?:@" + self._or_json(r"\\u0040") + ")"
        dot = rf"(?:\.|{_DEEP}2[Ee]" + self._or_json(r"\\u002[Ee]") + ")"
        high = rf"(?:[^\x00-\x7F]|{_DEEP}{_HIGH}{self._or_json(wide)})"
        dash = rf"{_DEEP}2[Dd]" + self._or_json(r"\\u002[Dd]")
        label = rf"(?:[A-Za-z0-9_-]|{dash}|{high}{letter})+"
        last = f"(?:xn--[A-Za-z0-9-]+|(?:[A-Za-z]{letter}){{2,}}|{high}{{2,}})"
        domain = f"{label}(?:{dot}{label})*{dot}{last}"
        names = []
        for plus, at, depth in (
            ("", "%(?:25)+40", "%(?:25)+"),
            ("", "%40", _DEEP),
            ("+", at_once, _DEEP),
        ):
            escaped = f"{depth}(?:2[BbDdEe7]|5[Ff])|{high}{letter}{sign}"
            names.append(rf"(?:[A-Za-z0-9._'{plus}-]|{escaped}){{1,64}}{at}")
        return f"(?:{'|'.join(names)}){domain}"

    def phone(self) -> str:
        """Digits behind a plus, two zeros, or the name of a telephone."""
        space = self._or_json(r"\\u002[089BDEFbdef]|\\u00[Aa]0|\\/")
        gap = rf"(?:[ +\-./()]|{_DEEP}2[089BDEFbdef]|{_DEEP}[Cc]2{_DEEP}[Aa]0{space})*"
        plus = f"(?:{_DEEP}2[Bb]" + self._or_json(r"\+|\\u002[Bb]") + ")"
        named = f"{_PHONE_NAME}{_BEHIND_NAME}{gap}{plus}?{gap}[0-9]"
        return rf"(?:{_EQUALS}\+[1-9]|{named}|{plus}[1-9]|00[1-9])(?:{gap}[0-9]){{5,14}}{_END}"

    def card(self) -> str:
        """Digits in a row or in groups. Thirteen in a row are left alone: they are no card's any
        more, but the number (EAN) of every other article in a shop."""
        gap = rf"(?:[ +\-]|{_DEEP}2[0BDbd]" + self._or_json(r"\\u002[0BDbd]") + ")"
        fours = f"[2-6][0-9]{{3}}(?:{gap}[0-9]{{4}}){{2}}"
        return (
            f"(?:{fours}{gap}[0-9]{{4}}(?:{gap}[0-9]{{3}})?|{fours}{gap}[0-9]"
            f"|3[0-9]{{3}}{gap}[0-9]{{6}}{gap}[0-9]{{4,5}}|[2-6][0-9]{{13,18}}(?:\\.[0-9]+)?){_END}"
        )

    def others(self) -> str:
        """Everything else. A plus behind a word, or less deep than what is before it, is a space,
        and digits that are part of a word are no number."""
        negative_or_escape = rf"-[0-9]+|\\u{_HEX}{{4}}|\\.|" if self.in_json else ""
        space = rf"%25(?:25)*{_HEX}{{2}}%2[Bb]|{_ESCAPE}\+"
        word = rf"[A-Za-z0-9_]+(?:[.'-][A-Za-z0-9_]+)*(?:\+|{_DEEP}2[Bb])?"
        numbered = f"{_NUMBER_NAME}{_BEHIND_NAME}[0-9]{{10,}}{_END}"
        between = r"[^A-Za-z0-9_.'+=%\\\x80-\x{10FFFF}-]+"
        return f"{negative_or_escape}{numbered}|{space}|{word}|{_ESCAPE}|{between}|."


NAME_OF_PHONE: Final = f"^{_PHONE_NAME}$"
PHONE_PREFIX: Final = rf"(?s)^({_PHONE_NAME}{_BEHIND_NAME}|{_EQUALS})?.*$"
"""What stays of a token that is a phone number: its first group."""
NOT_DIGITS: Final = rf"{_DEEP}{_HEX}{{2}}|\\u{_HEX}{{4}}|[^0-9]"
"""What to take away so that the digits of a number stay."""

_START: Final = rf"(?:^|[^0-9A-Za-z.]|{_DEEP}{_HEX}{{2}}|\\(?:u{_HEX}{{4}}|[a-z]))"
SIGNS: Final = {
    "mail": rf"@|{_DEEP}40|\\u0040",
    "phone": rf"(?:{_DEEP}2[Bb]|\\u002[Bb]|{_START}\+)[1-9]|{_START}00[1-9]"
    rf'|(?i:{_PHONE_WORD})(?:"\s*:|{_BEHIND_NAME})',
    "card": rf"{_START}(?:[2-6][0-9]{{13}}|[2-6][0-9]{{3}}(?:[ +\-]|{_DEEP}2[0BDbd]|\\u002[0BDbd])"
    r"[0-9]{4})",
}
"""What is in a text that holds such data; most texts have none of it and are not looked at."""
