"""What people call a hit by."""

import pytest

from tallymark.hit_names import HitName, HitNameError

ID = "018bcfe56800700a8000000000000000"


@pytest.mark.parametrize(
    ("text", "index"),
    [(ID, None), (f"{ID}-0003", 3), (f"  {ID.upper()}-0000\n", 0)],
)
def test_a_request_and_a_hit_in_it_can_be_named(text: str, index: int | None) -> None:
    name = HitName.parse(text)
    assert (name.request_id, name.index) == (ID, index)
    assert str(name) == text.strip().lower()


def test_an_id_begins_with_its_time() -> None:
    assert HitName.parse(ID).named_at == 1_700_000_000_000_000


@pytest.mark.parametrize(
    "text",
    ["", "x", ID[:-1], f"{ID}0", f"{ID}-3", f"{ID}-00003", f"{ID}-", f"../{ID}", f"{ID}\n-0"],
)
def test_other_texts_are_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(HitNameError, match="expected the 32 hex digits"):
        HitName.parse(text)
