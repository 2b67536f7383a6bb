"""Texts as numbers: what the dictionary holds, and what it lets go of."""

import polars as pl
from polars.testing import assert_frame_equal

from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.query_pairs import columns_of, pairs_of
from tallymark.texts import TEXTS, with_text_ids, with_texts

PAGES = {"page_id": ("host", "path")}


def held_bytes(rows: pl.DataFrame, *columns: str) -> int:
    """Bytes of all buffers of text that columns keep from being freed."""
    newest = pl.CompatLevel.newest()
    arrays = [rows.get_column(name).rechunk().to_arrow(compat_level=newest) for name in columns]
    return sum(buffer.size for array in arrays for buffer in array.buffers()[2:])


def test_texts_come_back_from_their_ids() -> None:
    rows = pl.DataFrame(
        {"property_id": [1, 1, 2], "host": ["a.example", "", "b"], "path": ["/", "", "/"]}
    )

    numbered, texts = with_text_ids(rows, PAGES)

    back = with_texts(numbered.drop("host", "path"), "page_id", ("host", "path"), texts)
    assert_frame_equal(back, rows)


def test_the_dictionary_keeps_nothing_of_the_requests_that_its_texts_were_cut_from() -> None:
    queries = pl.Series([f"en=an_event_of_kind_{kind}&dt={'x' * 100_000}" for kind in range(8)])
    names = columns_of(pairs_of(queries, KnownKeys(["en"])), {"event_name": ("en",)}, 8)
    rows = pl.DataFrame({"property_id": [1] * 8, **names})
    assert held_bytes(rows, "event_name") > 100_000, "they are no views"

    _, texts = with_text_ids(rows, {"event_id": ("event_name",)})

    assert texts.height == 8
    assert held_bytes(texts, *TEXTS) < 1_000
