"""Bodies: reading them within the limit, unpacking them, and writing them down as text."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

from collector.masking import masked_body


class BodyTooLargeError(Exception):
    """The body is longer than this collector takes."""


class BodyCutShortError(Exception):
    """The client went away before it had sent all of its body; nobody waits for an answer."""


def read_body(environ: Mapping[str, Any], max_bytes: int) -> bytes:
    """The body, unpacked if it came compressed.

    One that was compressed in a way that cannot be undone is dropped: what is in it cannot be
    masked.

    Raises:
        BodyTooLargeError: when it has more than ``max_bytes``, packed or unpacked.
        BodyCutShortError: when it has less than was announced.
    """
    announced = environ.get("CONTENT_LENGTH")
    if announced and announced.isdecimal():
        # Of so many digits that they are no number any more, the length is not asked for.
        length = int(announced) if len(announced) < 20 else max_bytes + 1
        if length > max_bytes:
            raise BodyTooLargeError
        body: bytes = environ["wsgi.input"].read(length)
        if len(body) < length:
            raise BodyCutShortError
    elif environ.get("wsgi.input_terminated"):  # chunked: it ends where the server says
        body = environ["wsgi.input"].read(max_bytes + 1)
    else:
        body = b""
    encoding = environ.get("HTTP_CONTENT_ENCODING")
    if encoding:
        body = _unpacked(body, encoding.strip().lower(), max_bytes)
    if len(body) > max_bytes:
        raise BodyTooLargeError
    return body


def recorded_body(body: bytes) -> tuple[str, str, str]:
    """Text, its encoding ("utf-8" or "base64") and the secret in it, all masked."""
    try:
        text, secret = masked_body(body.decode())
    except UnicodeDecodeError:
        # Latin-1 keeps every byte: what is no text is masked like text.
        masked, secret = masked_body(body.decode("latin-1"))
        return base64.b64encode(masked.encode("latin-1")).decode(), "base64", secret
    return text, "utf-8", secret


def _unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return b""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        return unpacker.decompress(body, max_bytes + 1)
    except zlib.error:
        return b""
