"""Anything that the API's own document allows, and what it forbids: no fault of the server, and
every answer as the document says."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from config_api.calls import Call, Kind
from config_api.endpoints import CALLS
from tests.config_api.api import Api, running_api

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
]

EXAMPLES = settings(
    max_examples=min(settings().max_examples, 25),
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("data")) as running:
        account = running.account()
        name = running.property(account)
        running.made(f"/v1/{name}/dataStreams", {"display_name": "Site"})
        yield running


@pytest.fixture(scope="module")
def document(api: Api) -> Any:
    document = schemathesis.openapi.from_wsgi("/openapi.json", api.app)
    document.config.generation.update(with_security_parameters=False)  # keys are the test's own
    return document


@pytest.mark.parametrize(
    ("call", "mode"),
    [
        pytest.param(call, mode, id=f"{call.name}-{mode.value}")
        for call in CALLS
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or call.body or call.query or "{" in call.path
    ],
)
def test_any_request_is_answered_as_the_document_says(
    api: Api, document: Any, call: Call, mode: GenerationMode
) -> None:
    """With the key that may do all of it, so that nothing is refused for want of one."""
    key = api.feed if call.kind is Kind.FOLLOW else api.owner

    @settings(EXAMPLES)
    @given(case=document[call.path][call.method].as_strategy(generation_mode=mode))
    def tried(case: Any) -> None:
        if "wait" in case.query:
            case.query["wait"] = 0
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=CHECKS)

    tried()
