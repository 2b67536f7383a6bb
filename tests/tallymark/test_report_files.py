"""Reports as files: what is a number stays one, what visitors sent stays text."""

import csv
import io
import json
from typing import Any

import duckdb
import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.reports.files import FORMATS, FORMULA_STARTS, table_of
from tests.strategies import examples

TOLD = {"property": "7", "freshness": '{"computed_from":"cells"}'}
HOSTILE = (
    "=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://x.example","a")', "{=1}", "http://x.example/", "007", "1e5", "TRUE",
    'a"b', "a,b", "a\r\nb", "<script>alert(1)</script>", "\x00\x1b\x07", "\ud83d\ude00".encode(
        "utf-16", "surrogatepass").decode("utf-16"), "שלום", "", "'", "'=1", "x" * 40_000,
)  # fmt: skip


def document(*rows: tuple[str, int, float]) -> dict[str, Any]:
    """A response with a dimension, a whole metric and another."""
    return {
        "dimensionHeaders": [{"name": "pagePath"}],
        "metricHeaders": [
            {"name": "sessions", "type": "TYPE_INTEGER"},
            {"name": "totalRevenue", "type": "TYPE_CURRENCY"},
        ],
        "rows": [
            {
                "dimensionValues": [{"value": text}],
                "metricValues": [{"value": str(whole)}, {"value": f"{number:.17g}"}],
            }
            for text, whole, number in rows
        ],
        "rowCount": len(rows),
    }


def encoded(name: str, *rows: tuple[str, int, float]) -> bytes:
    return FORMATS[name].encode(table_of(document(*rows)), TOLD)


def read(name: str, content: bytes) -> list[tuple[Any, ...]]:
    """Rows of a file as programs of others read them, header first."""
    if name == "xlsx":
        sheet = openpyxl.load_workbook(io.BytesIO(content))["Report"]
        return [tuple(cell.value for cell in row) for row in sheet.iter_rows()]
    if name == "json":
        rows = json.loads(content)["rows"]
        return [("pagePath", "sessions", "totalRevenue"), *(tuple(row.values()) for row in rows)]
    if name == "parquet":
        relation = duckdb.from_arrow(pl.read_parquet(io.BytesIO(content)).to_arrow())
        return [tuple(relation.columns), *relation.fetchall()]
    assert content.startswith(b"\xef\xbb\xbf")
    first, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    return [tuple(first), *((text, int(whole), float(number)) for text, whole, number in rows)]


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_comes_back_from_its_file_with_numbers_as_numbers(name: str) -> None:
    rows = [("/tea", 3, 19.99), ("/größe", 2**40, -0.5), ("/x", 0, 1e15)]
    header, *found = read(name, encoded(name, *rows))
    assert header == ("pagePath", "sessions", "totalRevenue")
    assert found == rows
    assert all(not isinstance(value, str) for row in found for value in row[1:])


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_without_rows_has_its_columns(name: str) -> None:
    found = read(name, encoded(name))
    assert found == [("pagePath", "sessions", "totalRevenue")]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_what_visitors_sent_is_no_formula(text: str) -> None:
    ((_, *_), (in_csv, *_)) = read("csv", encoded("csv", (text, 1, 2.0)))
    assert not in_csv.startswith(FORMULA_STARTS)
    assert in_csv.removeprefix("'") == text.removeprefix("'")
    book = openpyxl.load_workbook(io.BytesIO(encoded("xlsx", (text, 1, 2.0))))
    cell = book["Report"]["A2"]
    assert cell.data_type in ("s", "n", "inlineStr") or cell.value is None
    assert cell.data_type != "f"
    assert not isinstance(cell.value, int | float), "a text is no number"
    assert cell.hyperlink is None
    for exact in ("parquet", "json"):
        assert read(exact, encoded(exact, (text, 1, 2.0)))[1][0] == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
@examples(60)
def test_any_text_survives_in_files_for_programs(texts: list[str]) -> None:
    rows = [(text, 1, 0.25) for text in texts]
    for name in ("parquet", "json"):
        assert read(name, encoded(name, *rows))[1:] == rows
    assert len(read("csv", encoded("csv", *rows))) == len(rows) + 1


def test_files_tell_what_they_were_computed_from() -> None:
    parquet = pl.read_parquet_metadata(io.BytesIO(encoded("parquet", ("/", 1, 2.0))))
    assert parquet["tallymark.freshness"] == TOLD["freshness"]
    about = openpyxl.load_workbook(io.BytesIO(encoded("xlsx", ("/", 1, 2.0))))["About"]
    assert [tuple(cell.value for cell in row) for row in about.iter_rows(min_row=2)] == [
        *TOLD.items()
    ]
    assert json.loads(encoded("json"))["about"] == TOLD
