"""Whatever is asked, the engine says what plain SQL says over what the oracle counted."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.report_api.counted_days import ZONES, CountedDays, counted_days
from tests.report_api.drawn_reports import drawn_reports
from tests.strategies import examples

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7_200)]
Row = tuple[Any, ...]


@pytest.fixture(scope="module", name="shops")
def _shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, CountedDays]]:
    with ExitStack() as stack:
        yield {
            number: stack.enter_context(
                counted_days(tmp_path_factory.mktemp(f"shop{number}"), number)
            )
            for number in ZONES
        }


@pytest.mark.parametrize("number", ZONES)
@given(data=st.data())
@settings(examples(700), suppress_health_check=list(HealthCheck))
def test_a_report_says_what_sql_says_over_what_the_oracle_counted(
    shops: dict[int, CountedDays], number: int, data: st.DataObject
) -> None:
    of = shops[number]
    drawn = data.draw(drawn_reports(of.day))
    expected = drawn.asked.rows(of.database)
    answer = answered(of, drawn.request)
    found = rows_of(answer)
    event(f"{drawn.asked.table}, {'some' if expected else 'no'} rows")
    assert differing(found, expected) == []
    assert answer.get("rowCount", 0) == len(expected)
    assert in_order(found, columns_of(answer), drawn.ordered_by)
    limit, offset = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 9))
    page = answered(of, drawn.request | {"limit": str(limit), "offset": str(offset)})
    assert rows_of(page) == found[offset : offset + limit]


def answered(of: CountedDays, request: dict[str, Any]) -> dict[str, Any]:
    response = of.client.post(
        f"/v1beta/properties/{of.shop.property_id}:runReport",
        json=request,
        headers={"Authorization": f"Bearer {of.shop.read_key}"},
    )
    assert response.status_code == 200, response.json
    document: dict[str, Any] = response.json
    return document


def columns_of(answer: dict[str, Any]) -> list[str]:
    headers = [*answer.get("dimensionHeaders", []), *answer["metricHeaders"]]
    return [header["name"] for header in headers]


def rows_of(answer: dict[str, Any]) -> list[Row]:
    """Rows: texts, then numbers."""
    return [
        (
            *(cell["value"] for cell in row.get("dimensionValues", [])),
            *(float(cell["value"]) for cell in row["metricValues"]),
        )
        for row in answer.get("rows", [])
    ]


def differing(found: Sequence[Row], expected: Sequence[Row]) -> list[tuple[Row | None, Row | None]]:
    """Rows, in no order, that are not the same."""
    if len(found) != len(expected):
        return [(row, None) for row in found if row not in expected] + [
            (None, row) for row in expected if row not in found
        ] or [(None, None)]
    pairs = zip(sorted(found), sorted(expected), strict=True)
    return [(one, other) for one, other in pairs if not same(one, other)]


def same(one: Row, other: Row) -> bool:
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12) if isinstance(a, float) else a == b
        for a, b in zip(one, other, strict=True)
    )


def in_order(rows: Sequence[Row], columns: Sequence[str], names: Sequence[str]) -> bool:
    """Whether each row comes after the one before it by what is ordered by."""
    for before, after in pairwise(rows):
        for name in names:
            at = columns.index(name.removeprefix("-"))
            one, other = before[at], after[at]
            if name.startswith("-"):
                one, other = other, one
            if one < other:
                break
            if one > other:
                return False
    return True
