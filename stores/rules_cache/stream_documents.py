"""Data streams and keys in the document of properties: JSON to the domain and back."""

import re
from collections.abc import Callable
from typing import Any, Final

from stores.rules_cache.ids import MEASUREMENT_ID
from stores.rules_cache.problems import list_problems, text_problems
from tallymark.problems import Problem
from tallymark.properties import DataStream, HashedKey

_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
HOSTS_ALLOWED: Final = (
    "a list of hosts in lower case, without scheme, port or path, such as shop.example.com"
)
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ProblemsOf = Callable[[dict[str, Any], str], list[Problem]]
_SWITCH: Final = re.compile("[a-z_]{1,40}")  # a newer service may know more of them
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{0,100}")


def streams_problems(streams: object, where: str) -> list[Problem]:
    """What is wrong with the data streams of a property."""
    return _rows_problems(streams, where, _stream_problems)


def keys_problems(keys: object, where: str) -> list[Problem]:
    """What is wrong with a list of hashed keys."""
    return _rows_problems(keys, where, _key_problems)


def decoded_stream(row: dict[str, Any]) -> DataStream:
    """The stream that a row without problems holds."""
    return DataStream(
        measurement_id=row["measurement_id"],
        name=row["name"],
        allowed_hosts=tuple(row["allowed_hosts"]),
        switched_off=tuple(row.get("switched_off", ())),
        api_secrets=tuple(decoded_key(key) for key in row["api_secrets"]),
    )


def stream_row(stream: DataStream) -> dict[str, Any]:
    """The row of a stream; ``decoded_stream`` gives it back."""
    return {
        "measurement_id": stream.measurement_id,
        "name": stream.name,
        "allowed_hosts": list(stream.allowed_hosts),
        "switched_off": list(stream.switched_off),
        "api_secrets": [key_row(key) for key in stream.api_secrets],
    }


def decoded_key(row: dict[str, Any]) -> HashedKey:
    """The key that a row without problems holds."""
    return HashedKey(key_hash=row["hash"], expires_at=row["expires_at"])


def key_row(key: HashedKey) -> dict[str, Any]:
    """The row of a key; ``decoded_key`` gives it back."""
    return {"hash": key.key_hash, "expires_at": key.expires_at}


def _rows_problems(rows: object, where: str, problems_of: _ProblemsOf) -> list[Problem]:
    if not isinstance(rows, list):
        return [Problem(where=where, got=rows, allowed="a list of objects")]
    problems = []
    for index, row in enumerate(rows):
        place = f"{where}[{index}]"
        if isinstance(row, dict):
            problems += problems_of(row, place + ".")
        else:
            problems.append(Problem(where=place, got=row, allowed="an object"))
    return problems


def _stream_problems(row: dict[str, Any], prefix: str) -> list[Problem]:
    name, hosts = row.get("name"), row.get("allowed_hosts")
    allowed = "G- and ten of A-Z, 0-9"
    return [
        *text_problems(
            row.get("measurement_id"), MEASUREMENT_ID, prefix + "measurement_id", allowed
        ),
        *text_problems(name, _NAME, prefix + "name", "up to 100 printable characters"),
        *list_problems(hosts, HOST, prefix + "allowed_hosts", HOSTS_ALLOWED),
        *list_problems(
            row.get("switched_off", []), _SWITCH, prefix + "switched_off", "a list of names"
        ),
        *keys_problems(row.get("api_secrets"), prefix + "api_secrets"),
    ]


def _key_problems(row: dict[str, Any], prefix: str) -> list[Problem]:
    problems = text_problems(row.get("hash"), _HASH, prefix + "hash", "64 hex digits")
    until = row.get("expires_at", "nothing")
    if until is not None and type(until) is not int:
        allowed = "UTC microseconds, or null for never"
        problems.append(Problem(where=prefix + "expires_at", got=until, allowed=allowed))
    return problems
