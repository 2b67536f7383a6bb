"""Countries as others name them."""

import polars as pl
import pytest

from tallymark.countries import country_codes


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Switzerland", "CH"),
        ("Türkiye", "TR"),
        ("Turkey", "TR"),
        ("Hong Kong", "HK"),
        ("Czechia", "CZ"),
        ("Macedonia (FYROM)", "MK"),
        ("Côte d’Ivoire", "CI"),
        ("(not set)", ""),
        ("Europe", ""),
        ("", ""),
    ],
)
def test_a_name_is_its_iso_code(name: str, code: str) -> None:
    assert country_codes(pl.Series([name, "France"])).to_list() == [code, "FR"]
