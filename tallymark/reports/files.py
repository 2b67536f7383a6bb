"""Reports as files: a response becomes a table, and the table a file of a usual format.

What visitors sent is untrusted wherever it goes: a spreadsheet takes a text that begins like a
formula for one (CWE-1236). In CSV such texts get an apostrophe in front; in XLSX they are texts by
type; Parquet and JSON are no spreadsheets and keep them as they are.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import polars as pl

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a text begins with that a spreadsheet may compute, some of it in full width."""
_XLSX_TEXT: Final = 32_767
"""Characters of a cell; more cannot be written."""
_ABOUT: Final = "About"


@dataclass(frozen=True, kw_only=True)
class ReportFile:
    """A format that reports can be had in.

    Attributes:
        media_type: Of HTTP.
        encode: From a table and what is told of it to bytes.
    """

    media_type: str
    encode: Callable[[pl.DataFrame, Mapping[str, str]], bytes]


def table_of(document: Mapping[str, Any]) -> pl.DataFrame:
    """The rows of a response (of any reporting method) as a frame.

    Dimensions are String, as the API gives them; metrics are Int64 where they are whole by type,
    else Float64.

    Args:
        document: Of ``response_document``.
    """
    names = [header["name"] for header in document.get("dimensionHeaders", ())]
    metrics = {
        header["name"]: pl.Int64 if header["type"] == "TYPE_INTEGER" else pl.Float64
        for header in document.get("metricHeaders", ())
    }
    rows = document.get("rows", ())
    columns = {
        **{
            name: [row["dimensionValues"][place]["value"] for row in rows]
            for place, name in enumerate(names)
        },
        **{
            name: [row["metricValues"][place]["value"] for row in rows]
            for place, name in enumerate(metrics)
        },
    }
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return table.with_columns(pl.col(name).cast(kind) for name, kind in metrics.items())


def _csv(table: pl.DataFrame, _: Mapping[str, str]) -> bytes:
    """RFC 4180 in UTF-8, with a byte order mark: without, spreadsheets take it for Latin-1."""
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    harmless = table.with_columns(_harmless(pl.col(name)).alias(name) for name in texts)
    return harmless.write_csv(include_bom=True, line_terminator="\r\n").encode()


def _harmless(text: pl.Expr) -> pl.Expr:
    is_formula = text.str.slice(0, 1).is_in(FORMULA_STARTS)
    return pl.when(is_formula).then(pl.concat_str(pl.lit("'"), text)).otherwise(text)


def _xlsx(table: pl.DataFrame, told: Mapping[str, str]) -> bytes:
    """A sheet of the rows, whose texts are texts, and one of what is told of them."""
    from xlsxwriter import Workbook  # noqa: PLC0415  most processes never write one

    out = io.BytesIO()
    as_texts = {
        "in_memory": True, "strings_to_formulas": False, "strings_to_numbers": False,
        "strings_to_urls": False,
    }  # fmt: skip
    about = pl.DataFrame({"What": [*told.keys()], "Value": [*told.values()]})
    with Workbook(out, as_texts) as book:
        for name, rows in (("Report", table), (_ABOUT, about)):
            shown = rows.with_columns(pl.col(pl.String).str.slice(0, _XLSX_TEXT))
            shown.write_excel(book, worksheet=name, autofit=True, freeze_panes=(1, 0))
    return out.getvalue()


def _parquet(table: pl.DataFrame, told: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    table.write_parquet(out, metadata={f"tallymark.{name}": value for name, value in told.items()})
    return out.getvalue()


def _json(table: pl.DataFrame, told: Mapping[str, str]) -> bytes:
    return orjson.dumps({"about": dict(told), "rows": table.to_dicts()})


FORMATS: Final[Mapping[str, ReportFile]] = {
    "csv": ReportFile(media_type="text/csv; charset=utf-8", encode=_csv),
    "xlsx": ReportFile(
        media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        encode=_xlsx,
    ),
    "parquet": ReportFile(media_type="application/vnd.apache.parquet", encode=_parquet),
    "json": ReportFile(media_type="application/json", encode=_json),
}
"""By the name that requests use, which is the ending of the file's name too."""
