from typing import Any

import polars as pl
import pytest
from google.cloud.bigtable_v2 import types

from stores.wide_rows import bigtable_messages as messages
from stores.wide_rows.port import CELL_SCHEMA


def chunk(
    row_key: bytes = b"", family: str = "", qualifier: bytes | None = None, **rest: Any
) -> Any:
    made = types.ReadRowsResponse.CellChunk.pb()(row_key=row_key, **rest)
    if family:
        made.family_name.value = family
    if qualifier is not None:
        made.qualifier.value = qualifier
    return made


def stream(*responses: list[Any]) -> list[Any]:
    wrap, response = types.ReadRowsResponse.wrap, types.ReadRowsResponse.pb()
    return [wrap(response(chunks=chunks)) for chunks in responses]


def test_a_chunk_names_only_what_changed() -> None:
    responses = stream(
        [
            chunk(b"a", "n", b"1", timestamp_micros=5_000, value=b"x"),
            chunk(b"", "", b"2", timestamp_micros=6_000, value=b""),
        ],
        [
            chunk(b"", "u", b"2", timestamp_micros=7_000, value=b"z", commit_row=True),
            chunk(b"b", "n", b"", timestamp_micros=8_000, value=b"w", commit_row=True),
        ],
    )
    assert list(messages.merged_cells(responses)) == [
        (b"a", "n", b"1", 5, b"x"),
        (b"a", "n", b"2", 6, b""),
        (b"a", "u", b"2", 7, b"z"),
        (b"b", "n", b"", 8, b"w"),
    ]


def test_a_long_value_comes_in_many_chunks() -> None:
    responses = stream(
        [chunk(b"a", "n", b"1", timestamp_micros=5_000, value=b"xx", value_size=5)],
        [chunk(value=b"yy", value_size=5)],
        [chunk(value=b"z", commit_row=True)],
    )
    assert list(messages.merged_cells(responses)) == [(b"a", "n", b"1", 5, b"xxyyz")]


def test_a_row_that_was_reset_is_not_seen_twice() -> None:
    cell = {"timestamp_micros": 1_000, "value": b"v"}
    responses = stream(
        [
            chunk(b"a", "n", b"1", **cell),
            chunk(b"", "", b"2", value=b"part", value_size=9),
            chunk(reset_row=True),
            chunk(b"a", "n", b"1", **cell, commit_row=True),
        ],
    )
    assert list(messages.merged_cells(responses)) == [(b"a", "n", b"1", 1, b"v")]


def cells(rows: int, cells_a_row: int) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (b"%04d" % row, "n", b"%d" % number, 1, b"")
            for row in range(rows)
            for number in range(cells_a_row)
        ],
        schema=CELL_SCHEMA,
        orient="row",
    )


def test_no_request_has_more_mutations_than_bigtable_takes_and_no_row_is_split() -> None:
    requests = list(messages.write_requests("t", cells(7, 30_000)))
    per_request = [[len(entry.mutations) for entry in one.entries] for one in requests]
    assert per_request == [[30_000] * 3, [30_000] * 3, [30_000]]


def test_the_cells_of_a_row_share_an_entry_wherever_they_stand_in_the_frame() -> None:
    (request,) = messages.write_requests("t", cells(3, 4).sample(fraction=1, shuffle=True, seed=7))
    assert sorted(entry.row_key for entry in request.entries) == [b"0000", b"0001", b"0002"]
    assert [len(entry.mutations) for entry in request.entries] == [4, 4, 4]


def test_a_row_too_long_for_a_request_is_refused() -> None:
    with pytest.raises(ValueError, match="split them over rows"):
        list(messages.write_requests("t", cells(1, 100_001)))
