"""Masking: parameters that carry an IP address or a secret lose their value before anything else.

It is the one thing that cannot be mended later, so it errs on the side of masking: the names of
all protocols are masked wherever they stand, in any case, percent-encoded or JSON-escaped.
"""

import json
import re
from typing import Final
from urllib.parse import unquote, unquote_plus

MASK: Final = "*"
SECRET_PARAMETER: Final = "api_secret"  # noqa: S105  the name, not a secret
MASKED_PARAMETERS: Final = {
    "ga4_web": ("_uip", "uip", "ip_override", "user_ip_address"),
    "measurement_protocol": (SECRET_PARAMETER, "ip_override", "user_ip_address"),
    "universal_analytics": ("uip", "_uip"),
    "matomo": ("cip", "token_auth"),
}
"""Per protocol, the parameters that carry an IP address or a secret."""

NAMES: Final = sorted({name for names in MASKED_PARAMETERS.values() for name in names})


def _spelled(name: str, escape: str) -> str:
    """A pattern of ``name``, each character as it is or as ``escape`` and its hex digits."""
    return "".join(
        f"(?:{re.escape(char)}|{escape}(?:{ord(char):02x}|{ord(char.upper()):02x}))"
        for char in name
    )


def _pattern(template: str, escape: str) -> re.Pattern[str]:
    # A site may send one of them as an event or user parameter (ep.NAME, up.NAME).
    prefix = f"(?:(?:{_spelled('e', escape)}|{_spelled('u', escape)}){_spelled('p.', escape)})?"
    names = "|".join(_spelled(name, escape) for name in NAMES)
    return re.compile(template.replace("NAMES", f"{prefix}(?:{names})"), re.IGNORECASE)


_PAIR: Final = _pattern(r"((?:^|[&?\r\n])(NAMES)=)([^&\r\n]*)", "%")
_PAIR_IN_JSON: Final = _pattern(r"((?:[&?\r\n\"]|\\[nr])(NAMES)=)([^&\r\n\"\\]*)", "%")
_KEY: Final = _pattern(r'"(NAMES)"\s*:\s*', r"\\u00")
_SIGNS: Final = ("uip", "cip", "ip_")
_ENCODED_LETTER: Final = re.compile("%[4-7]")
_ENCODED_NAME: Final = re.compile(r"&[^=&%]*%[^=&]*=")
_ENCODED_NAME_IN_LINES: Final = re.compile(r"[&?\r\n\"][^=&?%\r\n\"]*%[^=&?\r\n\"]*=")
_DECODER: Final = json.JSONDecoder()


def may_hold_masked(query: str, body: str) -> bool:
    """Whether ``masked_query`` or ``masked_body`` may find anything; asks as little as it can.

    Each name holds one of these texts, if no letter of it is written by its number.
    """
    text = f"{query}\n{body}"
    lowered = text.lower()
    return (
        ("ip" in lowered and any(sign in lowered for sign in _SIGNS))
        or "api_secret" in lowered
        or "token_auth" in lowered
        or _ENCODED_LETTER.search(text) is not None
        or ("\\" in body and "\\u00" in lowered)
    )


def masked_query(query: str) -> tuple[str, str]:
    """``query`` with masked values, and the secret that it carried ("" if none)."""
    lowered = query.lower()
    # The cheap question first: does a name, or the end of one, stand there in plain letters, or is
    # any letter percent-encoded, as hardly anybody does?
    if (
        "ip=" in lowered
        or "ip_" in lowered
        or "api_secret" in lowered
        or "token_auth" in lowered
        or (_ENCODED_LETTER.search(query) and _ENCODED_NAME.search("&" + query))
    ):
        return _mask_pairs(query, _PAIR)
    return query, ""


def masked_body(body: str) -> tuple[str, str]:
    """The same of a body, be it JSON, a form, or a form a line."""
    lowered = body.lower()
    if (
        "uip" in lowered
        or "cip" in lowered
        or "ip_" in lowered
        or "api_secret" in lowered
        or "token_auth" in lowered
        or "\\u00" in lowered
        or (_ENCODED_LETTER.search(body) and _ENCODED_NAME_IN_LINES.search("\n" + body))
    ):
        return _mask_text(body)
    return body, ""


def _mask_text(body: str) -> tuple[str, str]:
    if not body.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return _mask_pairs(body, _PAIR)
    masked, secret = _mask_keys(body)
    # Some trackers wrap whole query strings in JSON.
    masked, wrapped_secret = _mask_pairs(masked, _PAIR_IN_JSON)
    return masked, secret or wrapped_secret


def _mask_pairs(text: str, pair: re.Pattern[str]) -> tuple[str, str]:
    secrets: list[str] = []

    def mask(match: re.Match[str]) -> str:
        if not secrets and unquote(match[2]).lower() == SECRET_PARAMETER:
            secrets.append(unquote_plus(match[3]))
        return match[1] + MASK

    masked = pair.sub(mask, text)
    return masked, secrets[0] if secrets else ""


def _mask_keys(text: str) -> tuple[str, str]:
    """Replace the JSON value behind each masked key; a value that does not end, to the end."""
    parts, secret, position = [], "", 0
    while match := _KEY.search(text, position):
        try:
            value, end = _DECODER.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            value, end = "", len(text)
        if json.loads(f'"{match[1]}"').lower() == SECRET_PARAMETER and isinstance(value, str):
            secret = secret or value
        parts += [text[position : match.end()], f'"{MASK}"']
        position = end
    return "".join([*parts, text[position:]]), secret
