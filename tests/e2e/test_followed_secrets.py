"""A stack that follows the rules: the first hits of a property that nobody has met yet."""

import json
import urllib.request
from pathlib import Path

import pytest

from .reports import ask
from .stack import eventually, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
EVENT = {"client_id": "555.1", "events": [{"name": "sold", "params": {}}]}


def test_secrets_that_the_collector_has_not_met_are_judged_when_hits_are_counted(
    tmp_path: Path,
) -> None:
    with running(tmp_path / "stack", "--flush-seconds=1", "--follow-rules") as stack:
        site = stack.create_property("Shop")
        address = f"{stack.collector_url}/mp/collect?measurement_id={site.measurement_id}"

        def reason(secret: str) -> str:
            url, body = f"{address}&api_secret={secret}", json.dumps(EVENT).encode()
            request = urllib.request.Request(url, data=body, method="POST")
            with urllib.request.urlopen(request) as answer:
                return str(answer.headers.get("X-Tallymark-Reason", ""))

        assert reason(site.api_secret) == reason("made-up") == ""
        eventually(
            lambda: reason("made-up") == "invalid_api_secret",
            within_seconds=10,
            what="a property that the collector has met",
        )
        assert reason(site.api_secret) == ""
        eventually(
            lambda: ask(stack, site, ("eventName",), ("eventCount",)) == {("sold",): (2,)},
            within_seconds=40,
            what="the two hits whose secret is the property's",
        )
