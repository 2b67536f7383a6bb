"""The document in which properties are kept: JSON to ``Property`` and back, with every check.

``{"properties": [{"property_id", "name", "data_streams": [{"measurement_id", "name",
"allowed_hosts", "switched_off", "api_secrets": [{"hash", "expires_at"}]}],
"read_keys": [{"hash", "expires_at"}], "versions": [{"version", "effective_at", …}]}]}``. An
``effective_at`` of null is "since ever", an ``expires_at`` of null "never"; what else stands in a
version is its rules document, see ``tallymark.rule_documents``. Times are UTC microseconds.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import orjson

from stores.rules_cache.problems import InvalidPropertyError
from stores.rules_cache.stream_documents import (
    decoded_key,
    decoded_stream,
    key_row,
    keys_problems,
    stream_row,
    streams_problems,
)
from tallymark.problems import Problem
from tallymark.properties import SINCE_EVER, Property, RulesVersion
from tallymark.rule_documents import InvalidRulesError, parse_rules

MAX_NAME_CHARACTERS: Final = 100


def decode_properties(content: bytes) -> list[Property]:
    """The properties of a document, ascending by id.

    Raises:
        InvalidPropertyError: when it is no JSON, or with all that is wrong in it.
    """
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        problem = Problem(where="document", got=str(error), allowed="a JSON document")
        raise InvalidPropertyError([problem]) from error
    rows = document.get("properties") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        shape = 'an object {"properties": […]}'
        raise InvalidPropertyError([Problem(where="document", got=document, allowed=shape)])
    read = [_read(row, f"properties[{index}]") for index, row in enumerate(rows)]
    problems = [problem for _, found in read for problem in found] or _repeated_ids(rows)
    if problems:
        raise InvalidPropertyError(problems)
    owners = [owner for owner, _ in read if owner is not None]
    return sorted(owners, key=lambda owner: owner.property_id)


def decode_property(content: bytes) -> Property:
    """The only property of a document.

    Raises:
        InvalidPropertyError: with all that is wrong in it.
    """
    return decode_properties(content)[0]


def encode_properties(properties: Iterable[Property]) -> bytes:
    """The document of ``properties``; ``decode_properties`` gives them back."""
    rows = [
        {
            "property_id": owner.property_id,
            "name": owner.name,
            "data_streams": [stream_row(stream) for stream in owner.data_streams],
            "read_keys": [key_row(key) for key in owner.read_keys],
            "versions": [_version_row(version) for version in owner.versions],
        }
        for owner in properties
    ]
    return orjson.dumps({"properties": rows}, option=orjson.OPT_INDENT_2) + b"\n"


def _read(row: object, where: str) -> tuple[Property | None, list[Problem]]:
    """The property that a row holds, or all that is wrong with it."""
    if not isinstance(row, dict):
        return None, [Problem(where=where, got=row, allowed="an object")]
    prefix = where + "."
    problems = _name_problems(row.get("name"), prefix)
    if not _is_whole(row.get("property_id"), 1, 2**53 - 1):
        problems.append(
            Problem(
                where=prefix + "property_id",
                got=row.get("property_id"),
                allowed="a whole number from 1",
            )
        )
    problems += streams_problems(row.get("data_streams"), prefix + "data_streams")
    problems += keys_problems(row.get("read_keys"), prefix + "read_keys")
    versions, wrong = _versions(row.get("versions"), prefix + "versions")
    problems += wrong
    return (None, problems) if problems else (_property(row, versions), [])


def _versions(versions: object, where: str) -> tuple[list[RulesVersion], list[Problem]]:
    """The versions, as far as nothing is wrong with them, and what is."""
    if not isinstance(versions, list) or not versions:
        problem = Problem(where=where, got=versions, allowed="a list of at least one version")
        return [], [problem]
    read: list[RulesVersion] = []
    problems: list[Problem] = []
    last: tuple[int, int] = (0, SINCE_EVER - 1)
    for index, row in enumerate(versions):
        place = f"{where}[{index}]"
        if not isinstance(row, dict):
            problems.append(Problem(where=place, got=row, allowed="an object"))
            continue
        number: Any = row.get("version")
        since: Any = row.get("effective_at", False)
        since = SINCE_EVER if since is None else since
        if not _is_whole(number, last[0] + 1, 2**31 - 1):
            allowed = f"a whole number above {last[0]}"
            problems.append(Problem(where=place + ".version", got=number, allowed=allowed))
        elif not _is_whole(since, last[1] + 1, 2**62):
            allowed = "UTC microseconds, ascending; null in the first version alone"
            got = row.get("effective_at", "nothing")
            problems.append(Problem(where=place + ".effective_at", got=got, allowed=allowed))
        else:
            last = (number, since)
        try:
            rules = parse_rules(_rules_row(row))
        except InvalidRulesError as error:
            problems += [replace(each, where=f"{place}.{each.where}") for each in error.problems]
        else:
            read.append(RulesVersion(version=last[0], effective_at=last[1], rules=rules))
    return read, problems


def _name_problems(name: object, prefix: str) -> list[Problem]:
    allowed = f"1 to {MAX_NAME_CHARACTERS} printable characters"
    fits = isinstance(name, str) and len(name) <= MAX_NAME_CHARACTERS
    if fits and str(name).strip() and str(name).isprintable():
        return []
    return [Problem(where=prefix + "name", got=name, allowed=allowed)]


def _rules_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("version", "effective_at")}


def _is_whole(number: object, least: int, most: int) -> bool:
    return type(number) is int and least <= number <= most


def _repeated_ids(rows: list[dict[str, Any]]) -> list[Problem]:
    seen: set[object] = set()
    problems = []
    for index, row in enumerate(rows):
        place = f"properties[{index}]"
        named = [(f"{place}.property_id", row["property_id"])] + [
            (f"{place}.data_streams[{number}].measurement_id", stream["measurement_id"])
            for number, stream in enumerate(row["data_streams"])
        ]
        for where, one in named:
            if one in seen:
                problems.append(Problem(where=where, got=one, allowed="one that is not taken"))
            seen.add(one)
    return problems


def _property(row: dict[str, Any], versions: list[RulesVersion]) -> Property:
    return Property(
        property_id=row["property_id"],
        name=row["name"],
        data_streams=tuple(decoded_stream(stream) for stream in row["data_streams"]),
        read_keys=tuple(decoded_key(key) for key in row["read_keys"]),
        versions=tuple(versions),
    )


def _version_row(version: RulesVersion) -> dict[str, Any]:
    is_first = version.effective_at == SINCE_EVER
    return {
        "version": version.version,
        "effective_at": None if is_first else version.effective_at,
        **version.rules.document(),
    }
