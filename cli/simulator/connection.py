"""A connection: one keep-alive HTTP/1.1 connection, as plain and fast as a sender needs it."""

import asyncio
import re
import ssl
from typing import Final
from urllib.parse import urlsplit

from cli.simulator.requests import PlannedRequest

TIMEOUT_SECONDS: Final = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_NO_BODY: Final = (204, 304)


class UnsentError(Exception):
    """There was no connection: the request has certainly not been counted."""


class UnknownResultError(Exception):
    """The connection broke before an answer came: nobody here knows if it has been counted."""


class Connection:
    """Connects when first used and again after a break.

    Args:
        url: Scheme, host and port of the collector; a path in front of the collector's is kept.

    Raises:
        ValueError: when ``url`` is no http or https address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected an address such as http://127.0.0.1:8000, got {url!r}")
        self._host = parts.hostname
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._authority = parts.netloc
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: PlannedRequest) -> int:
        """The status of the answer.

        Raises:
            UnsentError: when no connection could be made.
            UnknownResultError: when it broke, or no answer came within 30 s.
        """
        reader, writer = await self._connected()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                writer.write(self._encoded(request))
                status, reusable = await _answer(reader)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.close()
            raise UnknownResultError(str(error)) from error
        if not reusable:
            self.close()
        return status

    def close(self) -> None:
        """Let go of the connection; the next request makes another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # it was closed in between; what has not been sent is not in doubt
        if self._streams is None:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    self._streams = await asyncio.open_connection(
                        self._host, self._port, ssl=self._tls
                    )
            except OSError as error:
                raise UnsentError(str(error)) from error
        return self._streams

    def _encoded(self, request: PlannedRequest) -> bytes:
        lines = [
            f"{request.method} {self._prefix}{request.target} HTTP/1.1",
            f"Host: {self._authority}",
            *(f"{name}: {value}" for name, value in request.headers),
            f"Content-Length: {len(request.body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + request.body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Status, and whether the connection can carry another request."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    if status in _NO_BODY:
        return status, not _CLOSES.search(head)
    length = _LENGTH.search(head)
    if length is None:
        return status, False
    await reader.readexactly(int(length[1]))
    return status, not _CLOSES.search(head)
