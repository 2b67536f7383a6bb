"""What the asset says after a deploy: which hours are stale, and who mends them."""

from pathlib import Path

import dagster as dg
import pytest

from assets import stale_hours as module
from assets.stale_hours import CHECK, stale_hours
from assets.stores import Stores
from beam_pipelines.stale_hours import StaleSpan
from tallymark.replays import Span
from tallymark.slots import HOUR_US
from tests.strategies import MIDNIGHT_US

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def stale(first: int, end: int, *, is_open: bool = False) -> StaleSpan:
    """Hours from midnight that a stream in other code has decided."""
    span = Span(MIDNIGHT_US + first * HOUR_US, MIDNIGHT_US + end * HOUR_US)
    return StaleSpan(span=span, lineage="live-1", code_version="old", is_open=is_open)


@pytest.mark.parametrize(
    ("found", "said", "mended_by"),
    [
        ([], "all hours that are served were computed by this code", []),
        (
            [stale(0, 8), stale(8, 18, is_open=True)],
            "18 served hours were computed by other code. Run `tallymark stream upgrade`, which "
            "takes over those that are open. Backfill the job replay from 2023-11-15-00:00 to "
            "2023-11-15-07:00, look at the checks, then publish",
            ["replay", "stream upgrade"],
        ),
        (
            [stale(8, 18, is_open=True)],
            "10 served hours were computed by other code. Run `tallymark stream upgrade`, which "
            "takes over those that are open.",
            ["stream upgrade"],
        ),
    ],
)
def test_stale_hours_are_a_warning_that_says_what_mends_them(
    found: list[StaleSpan],
    said: str,
    mended_by: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "stale_spans", lambda _places: found)
    stores = Stores(
        archive_url=f"file:{tmp_path}", wide_rows_url=f"sqlite:{tmp_path}/rows", rules_path=""
    )
    result = dg.materialize(
        [stale_hours], resources={"stores": stores}, instance=dg.DagsterInstance.ephemeral()
    )
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (CHECK, not found)
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.description == said
    rows = check.metadata["spans"].records
    assert [row.data["mended by"] for row in rows] == mended_by
