"""Header text: the bytes of headers and queries as text that JSON can hold."""

from typing import Final
from urllib.parse import quote

_ASCII: Final = "".join(chr(code) for code in range(128))


def header_text(value: str) -> str:
    """A header as text: servers hand its bytes over as Latin-1, clients mean UTF-8."""
    return value if value.isascii() else _bytes(value).decode("utf-8", "replace")


def query_text(query: str) -> str:
    """A query as ASCII: bytes that should have been percent-encoded are."""
    return query if query.isascii() else quote(_bytes(query), safe=_ASCII)


def _bytes(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:  # a server that has decoded it already
        return value.encode("utf-8", "replace")
