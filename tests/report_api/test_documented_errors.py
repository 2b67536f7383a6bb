"""What is refused is refused in the words of Google's service, where these are known."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from google.analytics.data_v1beta import types
from google.api_core import exceptions

from tests.report_api.conftest import Server, Shop
from tests.report_api.documented_errors import ERRORS, OURS, Error
from tests.report_api.test_google_client import client_of

SENDABLE = {
    "runReport": types.RunReportRequest,
    "runPivotReport": types.RunPivotReportRequest,
    "runRealtimeReport": types.RunRealtimeReportRequest,
    "batchRunReports": types.BatchRunReportsRequest,
}
CALLED = {
    "runReport": "run_report",
    "runPivotReport": "run_pivot_report",
    "runRealtimeReport": "run_realtime_report",
    "batchRunReports": "batch_run_reports",
}
UNSENDABLE = {"no object", "unknown fields", "unknown inner field", "unknown enum"}
"""What Google's client refuses itself."""


def message_of(error: Error, property_id: int) -> str:
    return error.message.replace("{property}", f"properties/{property_id}")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.name)
def test_a_refusal_is_word_for_word(client: FlaskClient, shop: Shop, error: Error) -> None:
    answer = client.post(
        f"/v1beta/properties/{shop.property_id}:{error.method}",
        json=error.request,
        headers={"X-Goog-Api-Key": shop.read_key},
    )
    assert answer.status_code == 400
    assert answer.json == {
        "error": {
            "code": 400,
            "message": message_of(error, shop.property_id),
            "status": "INVALID_ARGUMENT",
        }
    }


def test_every_refusal_says_where_its_words_come_from() -> None:
    assert all(len(error.source) > 20 or error.source == OURS for error in ERRORS)
    assert len({error.name for error in ERRORS}) == len(ERRORS)


@pytest.mark.slow
def test_googles_client_raises_with_these_words(server: Server) -> None:
    client = client_of(server, server.shop.read_key)
    for error in ERRORS:
        if error.name in UNSENDABLE:
            continue
        content: dict[str, Any] = error.request
        request = SENDABLE[error.method].from_json(json.dumps(content))
        request.property = f"properties/{server.shop.property_id}"
        with pytest.raises(exceptions.BadRequest) as raised:
            getattr(client, CALLED[error.method])(request)
        assert message_of(error, server.shop.property_id) in str(raised.value), error.name


def test_keys_are_asked_for_in_googles_words(client: FlaskClient, shop: Shop) -> None:
    place = f"/v1beta/properties/{shop.property_id}:runReport"
    without = client.post(place, json={})
    assert without.status_code == 401
    assert without.json["error"]["status"] == "UNAUTHENTICATED"
    assert without.json["error"]["message"].startswith(
        "Request is missing required authentication credential. Expected"
    )
    wrong = client.post(place, json={}, headers={"X-Goog-Api-Key": "wrong"})
    assert wrong.status_code == 403
    assert wrong.json["error"] == {
        "code": 403,
        "message": (
            "User does not have sufficient permissions for this property. To learn more about"
            " Property ID, see"
            " https://developers.google.com/analytics/devguides/reporting/data/v1/property-id."
        ),
        "status": "PERMISSION_DENIED",
    }
