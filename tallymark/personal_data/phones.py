"""Phone numbers: those that cannot be taken for another number."""

from typing import Final

import polars as pl

_CALLING_CODE: Final = (
    "(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    "|2[1-69][0-9]|3[578][0-9]|42[0-9]|5[09][0-9]|6[789][0-9]|8[0578][0-9]|9[679][0-9])"
)
"""Those of two and three digits (ITU-T E.164)."""
_BEHIND_ZEROS: Final = f"^00(?:1[0-9]{{10}}|7[0-9]{{10}}|{_CALLING_CODE}[0-9]{{6,12}})$"
_BEHIND_PLUS: Final = "^[1-9][0-9]{7,14}$"


def are_phone_numbers(digits: pl.Series, *, with_zeros: bool) -> pl.Series:
    """Whether digits that stood behind a plus, or begin with 00, are a number in international
    form.

    Args:
        digits: Nothing but digits; without the plus.
        with_zeros: Whether those that begin with 00 may be one.
    """
    behind_plus = digits.str.contains(_BEHIND_PLUS)
    return behind_plus | digits.str.contains(_BEHIND_ZEROS) if with_zeros else behind_plus
