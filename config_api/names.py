"""Names: how resources are called in answers, in the audit trail and by keys."""

import re
from typing import Final

from config_api.errors import NotFoundError

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")


def account(organisation_id: int) -> str:
    """``accounts/ID``."""
    return f"accounts/{organisation_id}"


def property_name(property_id: int) -> str:
    """``properties/ID``."""
    return f"properties/{property_id}"


def data_stream(property_id: int, stream_id: int) -> str:
    """``properties/ID/dataStreams/ID``."""
    return f"properties/{property_id}/dataStreams/{stream_id}"


def rules_version(property_id: int, number: int) -> str:
    """``properties/ID/rules/versions/N``."""
    return f"properties/{property_id}/rules/versions/{number}"


def replay(property_id: int, wish_id: int) -> str:
    """``properties/ID/replays/ID``."""
    return f"properties/{property_id}/replays/{wish_id}"


def key(key_id: int) -> str:
    """``keys/ID``."""
    return f"keys/{key_id}"


def user(user_id: int) -> str:
    """``users/ID``."""
    return f"users/{user_id}"


def account_number(name: str) -> int:
    """The number in ``accounts/ID``.

    Raises:
        NotFoundError: when it is no such name.
    """
    kind, _, number = name.partition("/")
    if kind != "accounts":
        raise NotFoundError(name)
    return number_in("accounts", number)


def number_in(resource: str, text: str) -> int:
    """The number that stands for ``text`` in a name.

    Raises:
        NotFoundError: when it is none: then nothing is called so.
    """
    if not _NUMBER.fullmatch(text):
        raise NotFoundError(f"{resource}/{text}")
    return int(text)
