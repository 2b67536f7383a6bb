"""Payment card numbers: an issuer's prefix, a length that it has, and the check digit."""

from typing import Final

import numpy as np
import polars as pl

MOST_DIGITS: Final = 19
_ISSUERS: Final = {
    "Visa": "4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})",
    "Mastercard": "(?:5[1-5]|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]*",
    "American Express": "3[47][0-9]{13}",
    "Discover": "(?:6011|64[4-9]|65)[0-9]{12,}",
    "Diners Club": "3(?:0[0-5]|6|8|9)[0-9]{11,}",
    "JCB": "35(?:2[89]|[3-8][0-9])[0-9]{12,}",
    "UnionPay": "62[0-9]{14,}",
    "Maestro": "(?:5018|5020|5038|5893|6304|6759|676[1-3])[0-9]{9,}",
    "Mir": "220[0-4][0-9]{12,}",
}
_SIXTEEN: Final = "^(?:5[1-5]|2[2-7])[0-9]{14}$"
_KNOWN: Final = f"^(?:{'|'.join(_ISSUERS.values())})$"


def are_card_numbers(digits: pl.Series) -> pl.Series:
    """Whether texts of 13 to 19 digits are card numbers (ISO/IEC 7812)."""
    known = digits.str.contains(_KNOWN) & digits.str.len_bytes().is_between(13, MOST_DIGITS)
    of_mastercard = digits.str.contains("^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)")
    known &= ~of_mastercard | digits.str.contains(_SIXTEEN)
    if not known.any():
        return known
    return known.scatter(known.arg_true(), have_check_digit(digits.filter(known)))


def have_check_digit(digits: pl.Series) -> pl.Series:
    """Whether the last of at most 19 digits is the check digit of the others (Luhn's sum)."""
    padded = "".join(digits.str.zfill(MOST_DIGITS)).encode()
    values = np.frombuffer(padded, np.uint8).reshape(-1, MOST_DIGITS).astype(np.int64) - ord("0")
    doubled = values[:, -2::-2] * 2
    doubled -= 9 * (doubled > 9)
    sums = values[:, ::-2].sum(axis=1) + doubled.sum(axis=1)
    return pl.Series(sums % 10 == 0, dtype=pl.Boolean)
