"""The document in which properties are kept: JSON to ``Property`` and back, with every check.

``{"properties": [{"property_id", "name", "data_streams": [{"measurement_id", "name",
"allowed_hosts", "api_secrets": [{"hash", "expires_at"}]}], "read_keys": [{"hash", "expires_at"}],
"versions": [{"version", "effective_at", "time_zone", "currency", "session_gap_seconds",
"engagement_threshold_seconds", "attribution_lookback_days", "key_events", "allowed_hosts",
"exchange_rates": [{"currency", "since", "rate"}]}]}]}``; an ``effective_at`` of null is "since
ever", an ``expires_at`` of null "never", a lookback that is absent the default, hosts that are
absent any. Times are UTC microseconds, ``since`` is a day (UTC), ``rate`` the text of a decimal
number: what a unit of ``currency`` is worth in the property's.
"""

import re
import zoneinfo
from collections.abc import Iterable
from typing import Any, Final

import orjson

from stores.rules_cache.problems import (
    InvalidPropertyError,
    list_problems,
)
from stores.rules_cache.rate_documents import (
    currency_problems,
    decoded_rate,
    rate_row,
    rates_problems,
)
from stores.rules_cache.stream_documents import (
    HOST,
    HOSTS_ALLOWED,
    decoded_key,
    decoded_stream,
    key_row,
    keys_problems,
    stream_row,
    streams_problems,
)
from tallymark.problems import Problem
from tallymark.properties import DEFAULT_LOOKBACK_DAYS, SINCE_EVER, Property, RulesVersion

MAX_NAME_CHARACTERS: Final = 100
MIN_SESSION_GAP_SECONDS: Final = 300
MAX_SESSION_GAP_SECONDS: Final = 14_400
MAX_ENGAGEMENT_THRESHOLD_SECONDS: Final = 60
MAX_LOOKBACK_DAYS: Final = 90
_LOOKBACK: Final = "attribution_lookback_days"
_RATES: Final = "exchange_rates"
_HOSTS: Final = "allowed_hosts"
_EVENT_NAMES_ALLOWED: Final = "a list of event names: a letter, then up to 39 letters, digits or _"
_EVENT_NAME = re.compile(r"[A-Za-z]\w{0,39}")


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
    problems = [
        problem
        for index, row in enumerate(rows)
        for problem in _property_problems(row, f"properties[{index}]")
    ]
    if not problems:
        problems = _repeated_ids(rows)
    if problems:
        raise InvalidPropertyError(problems)
    return sorted((_property(row) for row in rows), key=lambda owner: owner.property_id)


def encode_properties(properties: Iterable[Property]) -> bytes:
    """The document of ``properties``; ``decode_properties`` gives them back."""
    rows = [
        {
            "property_id": owner.property_id,
            "name": owner.name,
            "data_streams": [stream_row(stream) for stream in owner.data_streams],
            "read_keys": [key_row(key) for key in owner.read_keys],
            "versions": [_version_row(rules) for rules in owner.versions],
        }
        for owner in properties
    ]
    return orjson.dumps({"properties": rows}, option=orjson.OPT_INDENT_2) + b"\n"


def settings_problems(name: str, rules: RulesVersion) -> list[Problem]:
    """What is wrong with the name and the first rules of a property to be."""
    return _name_problems(name, "") + _rules_problems(_version_row(rules), "")


def _property_problems(row: object, where: str) -> list[Problem]:
    if not isinstance(row, dict):
        return [Problem(where=where, got=row, allowed="an object")]
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
    return problems + _versions_problems(row.get("versions"), prefix + "versions")


def _versions_problems(versions: object, where: str) -> list[Problem]:
    if not isinstance(versions, list) or not versions:
        return [Problem(where=where, got=versions, allowed="a list of at least one version")]
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
        problems += _rules_problems(row, place + ".")
    return problems


def _name_problems(name: object, prefix: str) -> list[Problem]:
    allowed = f"1 to {MAX_NAME_CHARACTERS} printable characters"
    fits = isinstance(name, str) and len(name) <= MAX_NAME_CHARACTERS
    if fits and str(name).strip() and str(name).isprintable():
        return []
    return [Problem(where=prefix + "name", got=name, allowed=allowed)]


def _rules_problems(row: dict[str, Any], prefix: str) -> list[Problem]:
    problems = []
    if not _is_time_zone(row.get("time_zone")):
        allowed = "a name of the IANA time zone database, such as Europe/Berlin"
        problems.append(
            Problem(where=prefix + "time_zone", got=row.get("time_zone"), allowed=allowed)
        )
    problems += currency_problems(row.get("currency"), prefix + "currency")
    for key, least, most in (
        ("session_gap_seconds", MIN_SESSION_GAP_SECONDS, MAX_SESSION_GAP_SECONDS),
        ("engagement_threshold_seconds", 1, MAX_ENGAGEMENT_THRESHOLD_SECONDS),
    ):
        if not _is_whole(row.get(key), least, most):
            allowed = f"whole seconds from {least} to {most}"
            problems.append(Problem(where=prefix + key, got=row.get(key), allowed=allowed))
    days = row.get(_LOOKBACK, DEFAULT_LOOKBACK_DAYS)
    if not _is_whole(days, 1, MAX_LOOKBACK_DAYS):
        allowed = f"whole days from 1 to {MAX_LOOKBACK_DAYS}"
        problems.append(Problem(where=prefix + _LOOKBACK, got=days, allowed=allowed))
    for key, given, pattern, allowed in (
        ("key_events", row.get("key_events"), _EVENT_NAME, _EVENT_NAMES_ALLOWED),
        (_HOSTS, row.get(_HOSTS, ()), HOST, HOSTS_ALLOWED),
    ):
        problems += list_problems(given, pattern, prefix + key, allowed)
    return problems + rates_problems(row.get(_RATES, ()), prefix + _RATES)


def _is_whole(number: object, least: int, most: int) -> bool:
    return type(number) is int and least <= number <= most


def _is_time_zone(name: object) -> bool:
    if not isinstance(name, str):
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


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


def _property(row: dict[str, Any]) -> Property:
    return Property(
        property_id=row["property_id"],
        name=row["name"],
        data_streams=tuple(decoded_stream(stream) for stream in row["data_streams"]),
        read_keys=tuple(decoded_key(key) for key in row["read_keys"]),
        versions=tuple(_version(version) for version in row["versions"]),
    )


def _version(row: dict[str, Any]) -> RulesVersion:
    return RulesVersion(
        version=row["version"],
        effective_at=SINCE_EVER if row["effective_at"] is None else row["effective_at"],
        time_zone=row["time_zone"],
        currency=row["currency"],
        session_gap_seconds=row["session_gap_seconds"],
        engagement_threshold_seconds=row["engagement_threshold_seconds"],
        attribution_lookback_days=row.get(_LOOKBACK, DEFAULT_LOOKBACK_DAYS),
        key_events=tuple(row["key_events"]),
        allowed_hosts=tuple(row.get(_HOSTS, ())),
        exchange_rates=tuple(decoded_rate(rate) for rate in row.get(_RATES, ())),
    )


def _version_row(rules: RulesVersion) -> dict[str, Any]:
    return {
        "version": rules.version,
        "effective_at": None if rules.effective_at == SINCE_EVER else rules.effective_at,
        "time_zone": rules.time_zone,
        "currency": rules.currency,
        "session_gap_seconds": rules.session_gap_seconds,
        "engagement_threshold_seconds": rules.engagement_threshold_seconds,
        _LOOKBACK: rules.attribution_lookback_days,
        "key_events": list(rules.key_events),
        _HOSTS: list(rules.allowed_hosts),
        _RATES: [rate_row(rate) for rate in rules.exchange_rates],
    }
