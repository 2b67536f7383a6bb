"""Any report as a file, through the report API and by command."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cli.commands.export import export_group
from tallymark.reports.files import FORMATS, table_of
from tests.report_api.conftest import NASTY, Server, Shop

TODAY = [{"startDate": "today", "endDate": "today"}]
PAGES = {
    "dateRanges": TODAY,
    "dimensions": [{"name": "pagePath"}],
    "metrics": [{"name": "screenPageViews"}, {"name": "userEngagementDuration"}],
}
PIVOT = {
    "dateRanges": TODAY,
    "dimensions": [{"name": "sessionSource"}, {"name": "sessionMedium"}],
    "metrics": [{"name": "sessions"}],
    "pivots": [
        {"fieldNames": ["sessionSource"], "limit": 5},
        {"fieldNames": ["sessionMedium"], "limit": 5},
    ],
}
MINUTES = {"dimensions": [{"name": "minutesAgo"}], "metrics": [{"name": "eventCount"}]}


def asked(
    client: FlaskClient, shop: Shop, path: str, body: Any, key: str | None = None
) -> TestResponse:
    return client.post(
        f"/v1/properties/{shop.property_id}{path}",
        json=body,
        headers={"Authorization": f"Bearer {key or shop.read_key}"},
    )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("method", "body"),
    [("runReport", PAGES), ("runPivotReport", PIVOT), ("runRealtimeReport", MINUTES)],
)
def test_a_file_holds_the_rows_that_the_method_answers(
    client: FlaskClient, shop: Shop, form: str, method: str, body: dict[str, Any]
) -> None:
    rows = client.post(
        f"/v1beta/properties/{shop.property_id}:{method}",
        json=body,
        headers={"Authorization": f"Bearer {shop.read_key}"},
    )
    response = asked(client, shop, f":exportReport?format={form}&method={method}", body)
    assert response.status_code == 200
    assert response.content_type == FORMATS[form].media_type
    assert response.headers["Content-Disposition"] == (
        f'attachment; filename="tallymark-{shop.property_id}-{method}.{form}"'
    )
    told = json.loads(response.headers["X-Tallymark-Freshness"])
    assert told["computed_from"] == "cells"
    expected = table_of(rows.json)
    assert expected.height > 0
    kinds = [type(value) for value in expected.row(0)]
    found = [
        tuple(kind(value) for kind, value in zip(kinds, row, strict=True))
        for row in content_of(form, response.data)
    ]
    assert found == expected.rows()


def content_of(form: str, content: bytes) -> list[tuple[Any, ...]]:
    """Rows of a file; of CSV all values are text."""
    if form == "csv":
        rows: Any = [*csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))][1:]
    elif form == "xlsx":
        sheet = openpyxl.load_workbook(io.BytesIO(content))["Report"]
        rows = [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)]
    elif form == "json":
        rows = [row.values() for row in json.loads(content)["rows"]]
    else:
        rows = pl.read_parquet(io.BytesIO(content)).rows()
    return [tuple(row) for row in rows]


def test_a_standard_report_is_a_file_too(client: FlaskClient, shop: Shop) -> None:
    body = {"dateRanges": TODAY, "limit": 1}
    response = asked(client, shop, "/behaviour/reports/pages:export", body)
    assert response.status_code == 200
    header, row = response.data.decode("utf-8-sig").splitlines()
    assert header.startswith("pagePath,screenPageViews,")
    assert row.startswith("/,9,3,")
    assert "behaviour-pages.csv" in response.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (":exportReport?format=pdf", PAGES, "format: expected one of csv, xlsx, parquet, json"),
        (":exportReport?method=drop", PAGES, "method: expected one of runReport, "),
        (":exportReport", {"metrics": []}, "A dateRange is required"),
        ("/behaviour/reports/pages:export", {"pivots": []}, "pivots: expected one of"),
    ],
)
def test_what_cannot_be_exported_is_told(
    client: FlaskClient, shop: Shop, path: str, body: Any, said: str
) -> None:
    response = asked(client, shop, path, body)
    assert response.status_code == 400
    assert said in response.json["error"]["message"]


def test_only_the_keys_of_a_property_export_its_reports(client: FlaskClient, shop: Shop) -> None:
    for path in (":exportReport", "/behaviour/reports/pages:export"):
        assert asked(client, shop, path, PAGES, key="no").status_code == 403
        assert client.post(f"/v1/properties/{shop.property_id}{path}").status_code == 401


def test_the_command_writes_files_and_says_what_is_wrong(server: Server, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(server.shop.read_key + "\n")
    (tmp_path / "request.json").write_text(json.dumps(PAGES))
    common = [
        f"--property={server.shop.property_id}", f"--url={server.url}",
        f"--key-file={tmp_path / 'key'}",
    ]  # fmt: skip

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(export_group, ["report", *arguments, *common])

    out = tmp_path / "pages.parquet"
    done = run(str(tmp_path / "request.json"), f"--out={out}")
    assert (done.exit_code, out.name in done.output) == (0, True)
    assert pl.read_parquet(out)["pagePath"].to_list() == ["/", NASTY]
    done = run("acquisition/sources", "--from=today", "--to=today")
    assert done.stdout_bytes.decode("utf-8-sig").splitlines()[1].startswith("google / organic,2,1,")
    for arguments, said in (
        (("acquisition/nothing",), "404: expected a report of visits, "),
        (("nothing",), "expected SERVICE/NAME or a file that is there"),
        (("acquisition/sources", f"--out={tmp_path / 'x.doc'}"), "expected a name ending in csv"),
        (("acquisition/sources", "--from=someday"), "400: "),
    ):
        failed = run(*arguments)
        assert failed.exit_code != 0
        assert said in failed.output
    days = ["hits", "--from=2026-01-02", f"--into={tmp_path / 'hits'}", *common]
    for last, said in (("2026-01-02", "501: "), ("2026-01-01", "expected --to at or after --from")):
        failed = CliRunner().invoke(export_group, [*days, f"--to={last}"])
        assert failed.exit_code != 0
        assert said in failed.output
    assert not list((tmp_path / "hits").iterdir()), "what fails leaves no file"
