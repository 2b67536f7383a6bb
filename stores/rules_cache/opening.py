"""The rules by path or URL, so that a deployment chooses where they come from by one setting."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from stores.rules_cache.rules_copy import RulesCopy, take_copy

if TYPE_CHECKING:  # it brings Polars along, which not everybody needs who opens rules
    from stores.rules_cache.port import RulesCache

EXPECTED: Final = "expected the path of a file or http://HOST:PORT?key=FILE"
_OPTIONS: Final = frozenset({"key", "copies", "max_properties"})
_COPIES_PER_PROPERTY: Final = 4
"""The copy on disk holds so many times what memory holds."""


@dataclass(frozen=True, kw_only=True)
class ServicePlace:
    """Where the configuration service is, and how much is kept of it.

    Attributes:
        url: Without a path.
        key_path: The file with a key of scope ``feed``.
        copies: The folder of what is kept on disk; ``None`` for nothing.
        max_properties: So many are kept in memory.
    """

    url: str
    key_path: Path
    copies: Path | None
    max_properties: int


def is_service(place: str | Path) -> bool:
    """Whether ``place`` names a service, not a file."""
    return str(place).startswith(("http://", "https://"))


def open_rules_cache(place: str | Path, *, role: str) -> "RulesCache":
    """The rules at ``place``: a file, or the configuration service, whose changes are followed.

    A service is ``http://HOST:PORT?key=FILE``, where ``FILE`` holds a key of scope ``feed``, with
    ``copies=FOLDER`` for what is kept on disk (``copies`` beside the key; none where it is empty)
    and ``max_properties=50000`` for what is kept in memory.

    Args:
        place: Path or URL.
        role: Of the process, such as ``stream``; names its copy on disk.

    Raises:
        InvalidPropertyError: when the file is broken.
        ValueError: when the URL is none of these.
    """
    if not is_service(place):
        from stores.rules_cache.file import FileRulesCache  # noqa: PLC0415  one of them is loaded

        return FileRulesCache(Path(place))
    return _follow(str(place), role)


def service_place(url: str) -> ServicePlace:
    """What the URL of a service says, see ``open_rules_cache``.

    Raises:
        ValueError: when it is none.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.get("key") or set(options) - _OPTIONS or not parts.hostname:
        options_allowed = "perhaps with &copies=FOLDER and &max_properties=50000"
        raise ValueError(f"rules: {EXPECTED}, {options_allowed}; got {url}")
    key_path = Path(options["key"])
    folder = options.get("copies", str(key_path.parent / "copies"))
    return ServicePlace(
        url=f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}",
        key_path=key_path,
        copies=Path(folder) if folder else None,
        max_properties=_whole(options.get("max_properties", "50000"), url),
    )


def open_copy(place: ServicePlace, role: str) -> RulesCopy | None:
    """What is kept on disk of a service, for this process alone."""
    if place.copies is None:
        return None
    return take_copy(place.copies, role, max_properties=_COPIES_PER_PROPERTY * place.max_properties)


def _follow(url: str, role: str) -> "RulesCache":
    from stores.rules_cache.documents import decode_property  # noqa: PLC0415
    from stores.rules_cache.feed import FeedRulesCache  # noqa: PLC0415
    from stores.rules_cache.feed_client import FeedClient  # noqa: PLC0415
    from stores.rules_cache.feed_follower import FollowSettings  # noqa: PLC0415

    place = service_place(url)
    client = FeedClient(place.url, place.key_path, decode_property)
    settings = FollowSettings(max_properties=place.max_properties)
    return FeedRulesCache(client, open_copy(place, role), settings)


def _whole(text: str, url: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError(f"max_properties: expected a whole number from 1, got {text!r} in {url}")
    return int(text)
