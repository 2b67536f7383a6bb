"""What every store of wide rows does, whatever is behind it."""

import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from stores.wide_rows import pages as pages_module
from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.pages import pages
from stores.wide_rows.port import CELL_SCHEMA, MAX_VALUE_BYTES, MAX_VERSION, WideRows

EVERYTHING = [(b"\x00", b"\xff" * 4096)]
SPAWN = multiprocessing.get_context("spawn")
FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_examples = itertools.count(1)

Cell = tuple[bytes, str, bytes, int, bytes]


def frame(*cells: Cell) -> pl.DataFrame:
    return pl.DataFrame(list(cells), schema=CELL_SCHEMA, orient="row")


def cell(
    row_key: bytes = b"r",
    family: str = "n",
    qualifier: bytes = b"q",
    version: int = 1,
    value: bytes = b"v",
) -> Cell:
    return (row_key, family, qualifier, version, value)


def test_nothing_is_read_from_an_empty_store(wide_rows: WideRows) -> None:
    assert wide_rows.read(EVERYTHING).schema == CELL_SCHEMA
    assert wide_rows.read(EVERYTHING).is_empty()
    assert wide_rows.read_rows([b"r"]).schema == CELL_SCHEMA
    assert wide_rows.read_rows([b"r"]).is_empty()


def test_what_was_written_is_read_in_the_order_of_keys(wide_rows: WideRows) -> None:
    cells = [cell(key, value=key * 2) for key in (b"b", b"a", b"c", b"aa")]
    wide_rows.write(frame(*cells))
    assert wide_rows.read(EVERYTHING).rows() == sorted(cells)


def test_the_cells_of_a_row_are_ordered_by_family_and_qualifier(wide_rows: WideRows) -> None:
    cells = [cell(family=f, qualifier=q) for f in ("u", "c", "n") for q in (b"2", b"10", b"")]
    wide_rows.write(frame(*cells))
    assert wide_rows.read(EVERYTHING).rows() == sorted(cells)
    assert wide_rows.read_rows([b"r"]).rows() == sorted(cells)


@FEW
@given(
    writes=st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=3)), min_size=1, max_size=8),
    split=st.integers(1, 8),
)
def test_the_newest_version_wins_in_any_order_and_an_equal_one_rewrites(
    wide_rows: WideRows, writes: list[tuple[int, bytes]], split: int
) -> None:
    key = b"row-%d" % next(_examples)
    cells = [cell(key, version=version, value=value) for version, value in writes]
    for first in range(0, len(cells), split):
        wide_rows.write(frame(*cells[first : first + split]))
    newest = max(version for version, _ in writes)
    last = [value for version, value in writes if version == newest][-1]
    assert wide_rows.read_rows([key]).rows() == [cell(key, version=newest, value=last)]


def test_an_older_version_neither_hides_nor_outlives_a_newer_one(wide_rows: WideRows) -> None:
    wide_rows.write(frame(cell(version=7, value=b"new")))
    wide_rows.write(frame(cell(version=6, value=b"old"), cell(qualifier=b"other", version=6)))
    assert wide_rows.read_rows([b"r"]).rows() == [
        cell(qualifier=b"other", version=6),
        cell(version=7, value=b"new"),
    ]


def test_a_cell_that_became_empty_is_read_as_empty(wide_rows: WideRows) -> None:
    wide_rows.write(frame(cell(version=1, value=b"full")))
    wide_rows.write(frame(cell(version=2, value=b"")))
    assert wide_rows.read_rows([b"r"]).rows() == [cell(version=2, value=b"")]


@pytest.mark.parametrize("version", [0, 1, 2**31, 1_767_225_600_000_000, MAX_VERSION])
def test_a_version_comes_back_exactly(wide_rows: WideRows, version: int) -> None:
    wide_rows.write(frame(cell(version=version)))
    assert wide_rows.read_rows([b"r"]).item(0, "version") == version


@pytest.mark.parametrize(
    ("ranges", "keys"),
    [
        ([(b"b", b"d")], [b"b", b"b\x00", b"c"]),
        ([(b"b", b"b\x00")], [b"b"]),
        ([(b"b\x00", b"c")], [b"b\x00"]),
        ([(b"c", b"c")], []),
        ([(b"d", b"b")], []),
        ([], []),
        ([(b"c", b"e"), (b"a", b"b")], [b"a", b"c", b"d"]),
        ([(b"a", b"c"), (b"b", b"d"), (b"b", b"b\x00")], [b"a", b"b", b"b\x00", b"c"]),
        ([(b"x", b"z")], []),
    ],
)
def test_ranges_are_half_open_may_overlap_and_answer_in_order(
    wide_rows: WideRows, ranges: list[tuple[bytes, bytes]], keys: list[bytes]
) -> None:
    wide_rows.write(frame(*(cell(key) for key in (b"a", b"b", b"b\x00", b"c", b"d"))))
    assert wide_rows.read(ranges).get_column("row_key").to_list() == keys


@FEW
@given(
    keys=st.sets(st.binary(min_size=1, max_size=3), max_size=12),
    ranges=st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), max_size=4),
)
def test_ranges_hold_what_comparing_keys_says(
    wide_rows: WideRows, keys: set[bytes], ranges: list[tuple[bytes, bytes]]
) -> None:
    prefix = b"example-%06d-" % next(_examples)
    wide_rows.write(frame(*(cell(prefix + key) for key in keys)))
    got = wide_rows.read([(prefix + start, prefix + end) for start, end in ranges])
    expected = [key for key in keys if any(start <= key < end for start, end in ranges)]
    assert got.get_column("row_key").to_list() == sorted(prefix + key for key in expected)


@pytest.mark.parametrize(
    ("most_rows", "families", "keys"),
    [
        (1, (), [b"a", b"a"]),
        (2, (), [b"a", b"a", b"b"]),
        (3, (), [b"a", b"a", b"b", b"d"]),
        (9, (), [b"a", b"a", b"b", b"d", b"e"]),
        (2, ("u",), [b"a", b"d"]),
    ],
)
def test_so_many_rows_are_read_whole_that_have_cells_of_the_families(
    wide_rows: WideRows, most_rows: int, families: tuple[str, ...], keys: list[bytes]
) -> None:
    cells = ((b"a", "n"), (b"a", "u"), (b"b", "n"), (b"c", "n"), (b"d", "u"), (b"e", "u"))
    wide_rows.write(frame(*(cell(key, family=family) for key, family in cells)))
    got = wide_rows.read([(b"d", b"z"), (b"a", b"c")], families, most_rows=most_rows)
    assert got.get_column("row_key").to_list() == keys


def test_a_limit_of_no_rows_is_refused(wide_rows: WideRows) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        wide_rows.read(EVERYTHING, most_rows=0)


@FEW
@given(
    keys=st.sets(st.binary(min_size=1, max_size=2), max_size=12),
    ranges=st.lists(st.tuples(st.binary(max_size=2), st.binary(max_size=2)), max_size=4),
    rows_a_page=st.integers(1, 5),
)
def test_pages_hold_what_one_read_would(
    wide_rows: WideRows, keys: set[bytes], ranges: list[tuple[bytes, bytes]], rows_a_page: int
) -> None:
    prefix = b"example-%06d-" % next(_examples)
    families = ("n", "u")
    wide_rows.write(frame(*(cell(prefix + key, family=one) for key in keys for one in families)))
    wanted = [(prefix + start, prefix + end) for start, end in ranges]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pages_module, "RANGES_A_READ", 2)
        found = list(pages(wide_rows, wanted, families, rows_a_page=rows_a_page))
    assert all(0 < page.height <= 2 * rows_a_page for page in found)
    assert_frame_equal(pl.concat([frame(), *found]), wide_rows.read(wanted, families))


def test_named_rows_are_read_once_and_in_order_and_missing_ones_left_out(
    wide_rows: WideRows,
) -> None:
    wide_rows.write(frame(*(cell(key) for key in (b"a", b"b", b"bb", b"c"))))
    got = wide_rows.read_rows([b"c", b"x", b"b", b"c"])
    assert got.get_column("row_key").to_list() == [b"b", b"c"]
    assert wide_rows.read_rows([]).is_empty()


def test_more_rows_than_one_request_carries_are_written_read_and_deleted(
    wide_rows: WideRows,
) -> None:
    keys = [b"row-%05d" % number for number in range(4_500)]
    wide_rows.write(frame(*(cell(key) for key in keys)))
    assert wide_rows.read_rows(keys).get_column("row_key").to_list() == keys
    wide_rows.delete([(b"row-00001", b"row-04499")])
    assert wide_rows.read(EVERYTHING).get_column("row_key").to_list() == [keys[0], keys[-1]]


@pytest.mark.parametrize("families", [("n",), ("u",), ("n", "u"), ("c", "n", "u"), ()])
def test_only_the_families_asked_for_are_read(
    wide_rows: WideRows, families: tuple[str, ...]
) -> None:
    wide_rows.write(frame(*(cell(family=family) for family in ("n", "u", "c"))))
    expected = sorted(families or ("n", "u", "c"))
    assert wide_rows.read(EVERYTHING, families).get_column("family").to_list() == expected
    assert wide_rows.read_rows([b"r"], families).get_column("family").to_list() == expected


@FEW
@given(
    key=st.binary(min_size=1, max_size=20),
    qualifier=st.binary(max_size=20),
    value=st.binary(max_size=50),
)
def test_keys_qualifiers_and_values_may_be_any_bytes(
    wide_rows: WideRows, key: bytes, qualifier: bytes, value: bytes
) -> None:
    version = next(_examples)
    wide_rows.write(frame(cell(key, qualifier=qualifier, version=version, value=value)))
    got = wide_rows.read_rows([key]).filter(pl.col("qualifier") == qualifier)
    assert got.rows() == [cell(key, qualifier=qualifier, version=version, value=value)]


@pytest.mark.parametrize("raw", [b"\x00", b"\x00\xff\x00", b"\xff\xff", b"a\x00b", b"\n\t\\"])
def test_nul_and_ff_bytes_survive_everywhere(wide_rows: WideRows, raw: bytes) -> None:
    wide_rows.write(frame(cell(raw, qualifier=raw, value=raw)))
    assert wide_rows.read([(raw, raw + b"\x00")]).rows() == [cell(raw, qualifier=raw, value=raw)]
    assert wide_rows.compare_and_set(raw, raw, expected=None, value=raw, version=1)
    assert wide_rows.compare_and_set(raw, raw, expected=raw, value=b"", version=2)


@pytest.mark.parametrize("value_bytes", [1, 4_096, 65_537, 262_144, MAX_VALUE_BYTES])
def test_long_values_come_back_whole(wide_rows: WideRows, value_bytes: int) -> None:
    cells = [cell(qualifier=b"%d" % number, value=os.urandom(value_bytes)) for number in range(2)]
    wide_rows.write(frame(*cells))
    assert wide_rows.read(EVERYTHING).rows() == cells


def test_more_bytes_than_one_request_carries_are_written(wide_rows: WideRows) -> None:
    cells = [cell(b"row-%02d" % number, value=os.urandom(900_000)) for number in range(20)]
    wide_rows.write(frame(*cells))
    assert wide_rows.read(EVERYTHING).equals(frame(*cells))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (cell(value=b"x" * (MAX_VALUE_BYTES + 1)), "value bytes"),
        (cell(version=MAX_VERSION + 1), "version"),
        (cell(version=-1), "version"),
        (cell(family="x"), "families"),
        (cell(b""), "row key bytes"),
        (cell(b"k" * 4_097), "row key bytes"),
        (cell(qualifier=b"q" * 16_385), "qualifier bytes"),
    ],
)
def test_a_cell_over_a_limit_is_refused_and_nothing_is_written(
    wide_rows: WideRows, broken: Cell, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        wide_rows.write(frame(cell(b"good"), broken))
    assert wide_rows.read(EVERYTHING).is_empty()


def test_frames_of_other_columns_nulls_and_unknown_families_are_refused(
    wide_rows: WideRows,
) -> None:
    with pytest.raises(ValueError, match="expected the columns"):
        wide_rows.write(frame(cell()).drop("version"))
    with pytest.raises(ValueError, match="expected the columns"):
        wide_rows.write(frame(cell()).cast({"version": pl.Int32}))
    with pytest.raises(ValueError, match="no nulls"):
        wide_rows.write(frame(cell()).with_columns(value=pl.lit(None, pl.Binary)))
    with pytest.raises(ValueError, match="families"):
        wide_rows.read(EVERYTHING, ("x",))


def test_an_empty_frame_writes_nothing(wide_rows: WideRows) -> None:
    wide_rows.write(frame())
    assert wide_rows.read(EVERYTHING).is_empty()


def test_columns_are_taken_by_name_and_others_ignored(wide_rows: WideRows) -> None:
    wide_rows.write(
        frame(cell())
        .with_columns(other=1)
        .select(pl.all().reverse())
        .select("other", "value", "version", "qualifier", "family", "row_key")
    )
    assert wide_rows.read(EVERYTHING).rows() == [cell()]


def test_deleted_rows_are_gone_with_all_families_and_others_stay(wide_rows: WideRows) -> None:
    wide_rows.write(frame(*(cell(k, f) for k in (b"a", b"b", b"c") for f in ("n", "u", "c"))))
    wide_rows.delete([(b"b", b"c"), (b"x", b"y")])
    assert wide_rows.read(EVERYTHING).get_column("row_key").unique().sort().to_list() == [
        b"a",
        b"c",
    ]
    wide_rows.delete([])
    wide_rows.delete([(b"c", b"a")])
    assert wide_rows.read(EVERYTHING).height == 6


def test_a_deleted_row_can_be_written_again_even_at_an_older_version(wide_rows: WideRows) -> None:
    wide_rows.write(frame(cell(version=9)))
    wide_rows.delete(EVERYTHING)
    wide_rows.write(frame(cell(version=3)))
    assert wide_rows.read(EVERYTHING).rows() == [cell(version=3)]


def test_a_document_is_set_only_over_the_value_expected(wide_rows: WideRows) -> None:
    def put(expected: bytes | None, value: bytes, version: int) -> bool:
        return wide_rows.compare_and_set(
            b"~doc", b"", expected=expected, value=value, version=version
        )

    assert not put(b"", b"x", 1), "there is no document yet, not an empty one"
    assert put(None, b"", 1)
    assert not put(None, b"y", 2)
    assert put(b"", b"one", 2)
    assert not put(b"", b"y", 3)
    assert not put(b"on", b"y", 3)
    assert put(b"one", b"two", 3)
    assert wide_rows.read_rows([b"~doc"]).rows() == [(b"~doc", "c", b"", 3, b"two")]


@pytest.mark.parametrize("version", [4, 5])
def test_a_document_is_not_set_below_or_at_the_version_held(
    wide_rows: WideRows, version: int
) -> None:
    key = b"~doc"
    assert wide_rows.compare_and_set(key, b"q", expected=None, value=b"a", version=5)
    assert not wide_rows.compare_and_set(key, b"q", expected=b"a", value=b"b", version=version)
    assert wide_rows.read_rows([key]).item(0, "value") == b"a"


def test_documents_of_one_row_do_not_meet(wide_rows: WideRows) -> None:
    wide_rows.write(frame(cell(b"~doc", "n", b"a", value=b"number")))
    for qualifier in (b"a", b"b", b"ab", b""):
        assert wide_rows.compare_and_set(
            b"~doc", qualifier, expected=None, value=qualifier * 2, version=1
        )
    for qualifier in (b"a", b"b", b"ab", b""):
        assert wide_rows.compare_and_set(
            b"~doc", qualifier, expected=qualifier * 2, value=b"", version=2
        )


def test_a_document_may_be_long(wide_rows: WideRows) -> None:
    first, second = os.urandom(400_000), os.urandom(400_000)
    assert wide_rows.compare_and_set(b"~doc", b"q", expected=None, value=first, version=1)
    assert not wide_rows.compare_and_set(b"~doc", b"q", expected=second, value=b"", version=2)
    assert wide_rows.compare_and_set(b"~doc", b"q", expected=first, value=second, version=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": b"x" * (MAX_VALUE_BYTES + 1)}, "value bytes"),
        ({"version": MAX_VERSION + 1}, "version"),
        ({"row_key": b""}, "row key bytes"),
    ],
)
def test_a_document_over_a_limit_is_refused(
    wide_rows: WideRows, arguments: dict[str, object], message: str
) -> None:
    usual = {"row_key": b"~d", "qualifier": b"q", "expected": None, "value": b"v", "version": 1}
    with pytest.raises(ValueError, match=message):
        wide_rows.compare_and_set(**(usual | arguments))  # type: ignore[arg-type]


def add_one(wide_rows: WideRows, times: int) -> int:
    """Add one to a counter ``times`` times, by reading and setting it; how often that was lost."""
    lost = 0
    while times:
        held = wide_rows.read_rows([b"~counter"])
        expected = held.item(0, "value") if len(held) else None
        count = int(expected or b"0") + 1
        if wide_rows.compare_and_set(
            b"~counter", b"q", expected=expected, value=b"%d" % count, version=count
        ):
            times -= 1
        else:
            lost += 1
    return lost


def add_one_elsewhere(url: str, times: int) -> int:
    wide_rows = open_wide_rows(url)
    try:
        return add_one(wide_rows, times)
    finally:
        wide_rows.close()


def test_of_threads_that_set_a_document_at_once_exactly_one_wins(wide_rows: WideRows) -> None:
    start = threading.Barrier(6)

    def claim(number: int, round_number: int) -> bool:
        start.wait()
        return wide_rows.compare_and_set(
            b"~claim-%d" % round_number, b"q", expected=None, value=b"%d" % number, version=number
        )

    with ThreadPoolExecutor(6) as pool:
        for round_number in range(20):
            wins = list(pool.map(lambda n, r=round_number: claim(n, r), range(1, 7)))
            assert wins.count(True) == 1
            winner = b"%d" % (wins.index(True) + 1)
            assert wide_rows.read_rows([b"~claim-%d" % round_number]).item(0, "value") == winner


def test_no_addition_of_threads_is_lost(wide_rows: WideRows) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: add_one(wide_rows, 20), range(4)))
    assert wide_rows.read_rows([b"~counter"]).item(0, "value") == b"80"


@pytest.mark.slow
def test_no_addition_of_processes_is_lost(url: str) -> None:
    with ProcessPoolExecutor(3, mp_context=SPAWN) as pool:
        list(pool.map(add_one_elsewhere, [url] * 3, [50] * 3))
    wide_rows = open_wide_rows(url)
    assert wide_rows.read_rows([b"~counter"]).item(0, "value") == b"150"
    wide_rows.close()


def watch_rows(read: Callable[[], pl.DataFrame], until: Callable[[], bool]) -> int:
    """Read on and on; every row must be whole and never go back. How many reads there were."""
    newest: dict[bytes, int] = {}
    reads = 0
    while not until():
        for row_key, versions in read().group_by("row_key").agg("version").iter_rows():
            assert len(versions) == 20, f"a row is seen in part: {len(versions)} cells"
            assert len(set(versions)) == 1, f"a row is seen mixed: {versions}"
            assert versions[0] >= newest.get(row_key, 0), "a row went back"
            newest[row_key] = versions[0]
        reads += 1
    return reads


def whole_rows(version: int) -> pl.DataFrame:
    keys = [b"row-%d" % number for number in range(10)]
    return frame(
        *(cell(key, qualifier=b"%02d" % q, version=version) for key in keys for q in range(20))
    )


def test_the_cells_of_a_row_become_visible_together_beside_many_readers(
    wide_rows: WideRows,
) -> None:
    done = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        readers = [
            pool.submit(watch_rows, lambda: wide_rows.read(EVERYTHING), done.is_set)
            for _ in range(4)
        ]
        try:
            for version in range(1, 40):
                wide_rows.write(whole_rows(version))
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)


def watch_elsewhere(url: str, seconds: float) -> int:
    wide_rows = open_wide_rows(url)
    end = time.monotonic() + seconds
    try:
        return watch_rows(lambda: wide_rows.read(EVERYTHING), lambda: time.monotonic() > end)
    finally:
        wide_rows.close()


@pytest.mark.slow
def test_processes_read_beside_processes_that_write(url: str) -> None:
    writer = open_wide_rows(url)
    with ProcessPoolExecutor(3, mp_context=SPAWN) as pool:
        readers = [pool.submit(watch_elsewhere, url, 4.0) for _ in range(3)]
        version = 0
        while not all(reader.done() for reader in readers):
            version += 1
            writer.write(whole_rows(version))
        assert all(reader.result() > 0 for reader in readers)
    writer.close()


def test_what_was_written_is_there_after_opening_again(url: str, wide_rows: WideRows) -> None:
    wide_rows.write(frame(cell()))
    other = open_wide_rows(url)
    assert other.read(EVERYTHING).rows() == [cell()]
    other.close()
