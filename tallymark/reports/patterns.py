"""Regular expressions of filters: how large they are, before anything compiles them.

Matching takes time in proportion to the text, but what repeats is compiled as often as it repeats,
and a class of Unicode is hundreds of ranges each time: 200 short patterns can take half a minute.
"""

import re
from typing import Final

MAX_WEIGHT: Final = 100_000
"""Of all patterns of a filter; takes about a tenth of a second."""
_MOST: Final = 10**9
_CLASS_WEIGHT: Final = 700
_DIGITS_WEIGHT: Final = 70
_ANY_WEIGHT: Final = 10
_TOKEN: Final = re.compile(
    r"(?P<repeat>\{\s*\d*\s*(?:,\s*\d*\s*)?\})"
    r"|(?P<class>\\[pP](?:\{[^}]*\}|.)|\\[wW])"
    r"|(?P<digits>\\[dDsS])"
    r"|(?P<other>\\.)"
    r"|(?P<open>\()|(?P<close>\))"
    r"|(?P<any>\.)"
    r"|(?P<plain>.)",
    re.S,
)
_NUMBER: Final = re.compile(r"\d+")


def weight(pattern: str) -> int:
    """About how many states a pattern is compiled to: never much less, sometimes more.

    Args:
        pattern: Of any syntax, valid or not.
    """
    sums = [0]  # of the groups that are open, the outermost first
    last = 0  # what a repetition repeats
    for token in _TOKEN.finditer(pattern):
        kind = token.lastgroup
        if kind == "open":
            sums.append(0)
            last = 0
            continue
        if kind == "close" and len(sums) > 1:
            last = sums.pop() + 1
        elif kind == "repeat":
            times = max((int(number[:9]) for number in _NUMBER.findall(token[0])), default=1)
            last = min(_MOST, last * max(0, times - 1))  # it is counted once already
        else:
            last = _weight_of(kind)
        sums[-1] = min(_MOST, sums[-1] + last)
    return min(_MOST, sum(sums))


def _weight_of(kind: str | None) -> int:
    return {"class": _CLASS_WEIGHT, "digits": _DIGITS_WEIGHT, "any": _ANY_WEIGHT}.get(kind or "", 1)
