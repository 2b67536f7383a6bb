"""The OpenAPI document: the table of calls and its models, in the words of the standard."""

import re
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from config_api.access import NEEDS
from config_api.calls import Call, Kind
from config_api.endpoints import CALLS
from config_api.models import ErrorAnswer

_SCHEMAS: Final = "#/components/schemas/"
_NUMBER: Final = {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}


@cache
def openapi_document() -> dict[str, Any]:
    """The document, as JSON can hold it."""
    names, definitions = _schemas()
    paths: dict[str, Any] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallymark Data Configuration",
            "version": "1",
            "description": "Organisations, properties, rules and keys. Times are UTC microseconds.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _schemas() -> tuple[dict[Any, str], dict[str, Any]]:
    """The name of each model's schema, and the schemas."""
    sent = {call.body for call in CALLS if call.body is not None}
    answered = {call.answer for call in CALLS} | {ErrorAnswer}
    wanted: list[tuple[type[BaseModel], Any]] = [
        *((model, "validation") for model in sorted(sent, key=lambda one: one.__name__)),
        *((model, "serialization") for model in sorted(answered, key=lambda one: one.__name__)),
    ]
    found, document = models_json_schema(wanted, ref_template=_SCHEMAS + "{model}")
    references = {key: schema["$ref"].removeprefix(_SCHEMAS) for key, schema in found.items()}
    return references, document["$defs"]


def _operation(call: Call, names: dict[Any, str]) -> dict[str, Any]:
    needs = NEEDS[call.name]
    operation: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.summary,
        "description": f"Needs the scope {needs.scope} and the role {needs.role.name.lower()}.",
        "parameters": _parameters(call),
        "responses": {
            str(call.status): {
                "description": "Done",
                "content": _content(names[call.answer, "serialization"]),
            },
            "default": {
                "description": "Refused",
                "content": _content(names[ErrorAnswer, "serialization"]),
            },
        },
    }
    if call.body is not None:
        content = _content(names[call.body, "validation"])
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _SCHEMAS + name}}}


def _parameters(call: Call) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _NUMBER}
        for name in re.findall(r"\{(\w+)\}", call.path)
    ]
    if call.query is not None:
        schema = call.query.model_json_schema()
        required = schema.get("required", [])
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": _bare(each)}
            for name, each in schema["properties"].items()
        ]
    if call.has_etag:
        text = {"type": "string", "pattern": r'^("[1-9][0-9]{0,8}"|\*)$'}
        parameters.append({"name": "If-Match", "in": "header", "required": False, "schema": text})
    if call.method == "POST" and call.kind in (Kind.WRITE, Kind.ASK):
        text = {"type": "string", "pattern": "^[!-~]{1,200}$"}
        name = "Idempotency-Key"
        parameters.append({"name": name, "in": "header", "required": False, "schema": text})
    return parameters


def _bare(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a text or nothing the text: a query string says nothing by leaving it out."""
    kinds = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default", "title")}
    return kept | kinds[0] if kinds else kept
