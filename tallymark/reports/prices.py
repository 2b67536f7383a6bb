"""Prices: what an answer costs in tokens of a quota."""

from typing import Final

CELL_BYTES_A_TOKEN: Final = 1_500_000
HITS_A_TOKEN: Final = 5_000
ROWS_A_TOKEN: Final = 2_500


def price(*, cell_bytes: int = 0, hits: int = 0, rows: int = 0) -> int:
    """The tokens that an answer costs: about one for ten milliseconds of a core, at least one.

    Args:
        cell_bytes: Of the cells that were read and decoded.
        hits: That were read.
        rows: That were answered.
    """
    return 1 + int(cell_bytes / CELL_BYTES_A_TOKEN + hits / HITS_A_TOKEN + rows / ROWS_A_TOKEN)
