"""The rules by path or URL, so that a deployment chooses where they come from by one setting."""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from stores.rules_cache.port import RulesCache

EXPECTED: Final = "expected the path of a file or http://HOST:PORT?key=FILE"
_OPTIONS: Final = frozenset({"key", "copies", "max_properties"})
_COPIES_PER_PROPERTY: Final = 4
"""The copy on disk holds so many times what memory holds."""


def is_service(place: str | Path) -> bool:
    """Whether ``place`` names a service, not a file."""
    return str(place).startswith(("http://", "https://"))


def open_rules_cache(place: str | Path, *, role: str) -> RulesCache:
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


def _follow(url: str, role: str) -> RulesCache:
    from stores.rules_cache.feed import FeedRulesCache  # noqa: PLC0415
    from stores.rules_cache.feed_client import FeedClient  # noqa: PLC0415
    from stores.rules_cache.feed_follower import FollowSettings  # noqa: PLC0415
    from stores.rules_cache.rules_copy import take_copy  # noqa: PLC0415

    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.get("key") or set(options) - _OPTIONS or not parts.hostname:
        options_allowed = "perhaps with &copies=FOLDER and &max_properties=50000"
        raise ValueError(f"rules: {EXPECTED}, {options_allowed}; got {url}")
    most = _whole(options.get("max_properties", "50000"), url)
    key_path = Path(options["key"])
    folder = options.get("copies", str(key_path.parent / "copies"))
    copy = None
    if folder:
        copy = take_copy(Path(folder), role, max_properties=_COPIES_PER_PROPERTY * most)
    client = FeedClient(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", key_path)
    return FeedRulesCache(client, copy, FollowSettings(max_properties=most))


def _whole(text: str, url: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError(f"max_properties: expected a whole number from 1, got {text!r} in {url}")
    return int(text)
