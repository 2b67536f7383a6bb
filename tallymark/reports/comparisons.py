"""Comparisons: filters that are put to one report side by side."""

from dataclasses import dataclass
from typing import Final

from tallymark.reports.fields import Reader
from tallymark.reports.filters import Filter, read_filter

COMPARISON: Final = "comparison"
"""The dimension that reports with comparisons have besides those asked for."""
MAX_COMPARISONS: Final = 4


@dataclass(frozen=True)
class Comparison:
    """One side.

    Attributes:
        name: What rows of it carry.
        filter: Which rows of the rollup count in it; ``None`` where all do.
    """

    name: str
    filter: Filter | None


def read_comparisons(request: Reader) -> tuple[Comparison, ...]:
    """The comparisons of a request; problems go to the reader's list."""
    readers = request.objects("comparisons")
    if len(readers) > MAX_COMPARISONS:
        request.complain(f"comparisons: expected at most {MAX_COMPARISONS}, got {len(readers)}")
    found = [_read(reader, index) for index, reader in enumerate(readers[:MAX_COMPARISONS])]
    names = [comparison.name for comparison in found]
    if len(set(names)) < len(names):
        request.complain(f"comparisons: expected different names, got {', '.join(names):.200}")
    return tuple(found)


def _read(reader: Reader, index: int) -> Comparison:
    reader.only("name", "dimensionFilter", "comparison")
    name = reader.text("name") or f"comparison_{index}"
    if name.startswith("RESERVED_"):
        reader.complain(f"name: expected one that does not start with RESERVED_, got {name:.100}")
    if "comparison" in reader.content:
        reader.complain("comparison: no comparisons are saved; give its dimensionFilter")
    elif "dimensionFilter" not in reader.content:
        reader.complain("expected a dimensionFilter")
    return Comparison(name, read_filter(reader.object("dimensionFilter")))
