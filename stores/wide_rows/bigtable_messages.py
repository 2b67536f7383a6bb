"""Bigtable's messages: cells to mutations, key ranges and filters to requests, chunks to cells.

Plain protocol buffers, not the wrappers around them, which cost ten times as much to build.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import polars as pl
from google.cloud.bigtable_v2 import types

from stores.wide_rows.port import FAMILIES

MAX_MUTATIONS: Final = 100_000
"""Mutations that Bigtable takes in one request."""
SOFT_REQUEST_BYTES: Final = 16_000_000
"""Bytes of values after which a request is sent and another one begun."""
MAX_ROWS_A_REQUEST: Final = 2_000
MICROS_A_VERSION: Final = 1_000

_Cell = tuple[bytes, str, bytes, int, bytes]
_ROW_FILTER: Final = types.RowFilter.pb()
_MUTATE_ROWS: Final = types.MutateRowsRequest.pb()
_READ_ROWS: Final = types.ReadRowsRequest.pb()


def write_requests(table: str, cells: pl.DataFrame) -> Iterator[Any]:
    """``MutateRowsRequest``s that write ``cells``, all cells of a row in one entry.

    Raises:
        ValueError: when a row has more cells than a request may carry.
    """
    rows = cells.group_by("row_key", maintain_order=True).agg(
        pl.all(), value_bytes=pl.col("value").bin.size().sum()
    )
    request, mutations, request_bytes = _MUTATE_ROWS(table_name=table), 0, 0
    for row_key, families, qualifiers, versions, values, value_bytes in rows.iter_rows():
        if len(values) > MAX_MUTATIONS:
            raise ValueError(
                f"cells: expected at most {MAX_MUTATIONS:,} in a row, got {len(values):,} "
                f"in {row_key!r}; split them over rows"
            )
        is_full = mutations + len(values) > MAX_MUTATIONS
        if request.entries and (is_full or request_bytes + value_bytes > SOFT_REQUEST_BYTES):
            yield request
            request, mutations, request_bytes = _MUTATE_ROWS(table_name=table), 0, 0
        entry = request.entries.add(row_key=row_key)
        for cell in zip(families, qualifiers, versions, values, strict=True):
            _set_cell(entry.mutations.add(), *cell)
        mutations += len(values)
        request_bytes += value_bytes
    if request.entries:
        yield request


def delete_requests(table: str, row_keys: Sequence[bytes]) -> Iterator[Any]:
    """``MutateRowsRequest``s that delete rows."""
    for first in range(0, len(row_keys), MAX_ROWS_A_REQUEST):
        request = _MUTATE_ROWS(table_name=table)
        for row_key in row_keys[first : first + MAX_ROWS_A_REQUEST]:
            request.entries.add(row_key=row_key).mutations.add().delete_from_row.SetInParent()
        yield request


def range_request(
    table: str,
    ranges: Iterable[tuple[bytes, bytes]],
    families: tuple[str, ...],
    *,
    most_rows: int | None = None,
) -> Any:
    """A ``ReadRowsRequest`` for the newest cells in half-open key ranges."""
    request = _READ_ROWS(table_name=table, filter=_newest_of(families), rows_limit=most_rows or 0)
    for start, end in ranges:
        request.rows.row_ranges.add(start_key_closed=start, end_key_open=end)
    return request


def row_requests(table: str, row_keys: Sequence[bytes], families: tuple[str, ...]) -> Iterator[Any]:
    """``ReadRowsRequest``s for the newest cells of named rows."""
    for first in range(0, len(row_keys), MAX_ROWS_A_REQUEST):
        request = _READ_ROWS(table_name=table, filter=_newest_of(families))
        request.rows.row_keys.extend(row_keys[first : first + MAX_ROWS_A_REQUEST])
        yield request


def keys_request(table: str, ranges: Iterable[tuple[bytes, bytes]]) -> Any:
    """A ``ReadRowsRequest`` that answers one cell without its value for each row."""
    request = range_request(table, ranges, FAMILIES)
    one_cell = _ROW_FILTER(cells_per_row_limit_filter=1)
    no_value = _ROW_FILTER(strip_value_transformer=True)
    request.filter.CopyFrom(_chain(one_cell, no_value))
    return request


def document_request(
    table: str,
    row_key: bytes,
    qualifier: bytes,
    *,
    held_version: int | None,
    value: bytes,
    version: int,
) -> Any:
    """A ``CheckAndMutateRowRequest``: set a document while its newest version is the one held.

    The version stands for the value, as a document's versions ascend: a comparison with the value
    itself would have to fit into Bigtable's 20 KB for a filter.
    """
    request = types.CheckAndMutateRowRequest.pb()(table_name=table, row_key=row_key)
    newest = [_column(qualifier), _ROW_FILTER(cells_per_column_limit_filter=1)]
    mutations = request.false_mutations
    if held_version is not None:
        as_held = _ROW_FILTER()
        as_held.timestamp_range_filter.start_timestamp_micros = held_version * MICROS_A_VERSION
        as_held.timestamp_range_filter.end_timestamp_micros = (
            held_version * MICROS_A_VERSION + MICROS_A_VERSION
        )
        newest.append(as_held)
        mutations = request.true_mutations
    request.predicate_filter.CopyFrom(_chain(*newest))
    _set_cell(mutations.add(), "c", qualifier, version, value)
    return request


def merged_cells(responses: Iterable[Any]) -> Iterator[_Cell]:
    """The cells in the chunks of a stream of ``ReadRowsResponse``s, row after row.

    A chunk names only what changed against the one before it, a long value comes in many, and a
    row may be reset and sent again.
    """
    row: list[_Cell] = []
    row_key, family, qualifier, version, value = b"", "", b"", 0, b""
    for response in responses:
        for chunk in type(response).pb(response).chunks:
            if chunk.reset_row:
                row, value = [], b""
                continue
            row_key = chunk.row_key or row_key
            family = chunk.family_name.value if chunk.HasField("family_name") else family
            qualifier = chunk.qualifier.value if chunk.HasField("qualifier") else qualifier
            # The chunks after the first of a long value leave the time out.
            version = version if value else chunk.timestamp_micros // MICROS_A_VERSION
            value += chunk.value
            if chunk.value_size:
                continue
            row.append((row_key, family, qualifier, version, value))
            value = b""
            if chunk.commit_row:
                yield from sorted(row)  # Bigtable orders qualifiers, not families
                row = []


def _newest_of(families: tuple[str, ...]) -> Any:
    newest = _ROW_FILTER(cells_per_column_limit_filter=1)
    if set(families) == set(FAMILIES):
        return newest
    return _chain(_ROW_FILTER(family_name_regex_filter="|".join(families)), newest)


def _chain(*filters: Any) -> Any:
    chain = _ROW_FILTER()
    chain.chain.filters.extend(filters)
    return chain


def _column(qualifier: bytes) -> Any:
    column = _ROW_FILTER()
    column.column_range_filter.family_name = "c"
    column.column_range_filter.start_qualifier_closed = qualifier
    column.column_range_filter.end_qualifier_closed = qualifier
    return column


def _set_cell(mutation: Any, family: str, qualifier: bytes, version: int, value: bytes) -> None:
    cell = mutation.set_cell
    cell.family_name = family
    cell.column_qualifier = qualifier
    cell.timestamp_micros = version * MICROS_A_VERSION
    cell.value = value
