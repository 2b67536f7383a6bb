"""The configuration service over HTTP, as those who follow its feed ask it.

Every call ends within the time it is given: an answer that drips in, or never ends, is given up.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import httpx

from stores.rules_cache.feed_messages import (
    FeedAnswer,
    LookupAnswer,
    Read,
    T,
    UnreadableAnswerError,
    decode_feed,
    decode_lookup,
)

MAX_IDS: Final = 1_000
"""Of each kind in one lookup, and changes or properties in one answer."""
MAX_ANSWER_BYTES: Final = 64_000_000
_CONNECT_SECONDS: Final = 2.0
_MARGIN_SECONDS: Final = 5.0
_SHOWN_CHARACTERS: Final = 200
A = TypeVar("A")


class ServiceGoneError(RuntimeError):
    """The service does not answer, or not as it should; says how."""


class OutOfRangeError(RuntimeError):
    """The feed does not reach to the position, or does not keep it any more."""


class FeedClient(Generic[T]):
    """Asks; safe to share among threads.

    Args:
        url: Of the service, without a path.
        key_path: The file with the key, read for each call so that it can be replaced.
        read: Makes of a property's document what the caller wants to know of it.
    """

    def __init__(self, url: str, key_path: Path, read: Read[T]) -> None:
        self.url = url
        self._read_property = read
        self._key_path = key_path
        self._client = httpx.Client(base_url=url, trust_env=False)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line a request

    def changes(self, after: int, wait_seconds: float) -> FeedAnswer:
        """What changed after a position; waits until something has, ``wait_seconds`` at most.

        Raises:
            OutOfRangeError: when the feed does not know the position.
            ServiceGoneError: when there is no such answer.
        """
        asked: dict[str, Any] = {"after": after, "wait": f"{wait_seconds:g}", "limit": MAX_IDS}
        request = self._client.build_request("GET", "/v1/changes", params=asked)
        content = self._answer(request, wait_seconds + _MARGIN_SECONDS)
        return self._read(lambda: decode_feed(content, after))

    def lookup(
        self, measurement_ids: list[str], property_ids: list[int], seconds: float
    ) -> LookupAnswer[T]:
        """The properties of up to ``MAX_IDS`` ids of each kind, within ``seconds``.

        Raises:
            ServiceGoneError: when there is no such answer.
        """
        asked = {"measurement_ids": measurement_ids, "property_ids": property_ids}
        request = self._client.build_request("POST", "/v1/properties:lookup", json=asked)
        content = self._answer(request, seconds)
        return self._read(lambda: decode_lookup(content, self._read_property))

    def page(self, after: int, seconds: float) -> LookupAnswer[T]:
        """The first ``MAX_IDS`` properties of a greater id than ``after``, ascending.

        Raises:
            ServiceGoneError: when there is no such answer.
        """
        asked = {"after": after, "limit": MAX_IDS}
        request = self._client.build_request("GET", "/v1/properties:page", params=asked)
        content = self._answer(request, seconds)
        return self._read(lambda: decode_lookup(content, self._read_property))

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _read(self, read: Callable[[], A]) -> A:
        try:
            return read()
        except UnreadableAnswerError as error:
            raise ServiceGoneError(f"{self.url}: an answer cannot be read: {error}") from error

    def _answer(self, request: httpx.Request, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        timeout = httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        request.extensions["timeout"] = timeout.as_dict()
        try:
            request.headers["Authorization"] = f"Bearer {self._key_path.read_text().strip()}"
            response = self._client.send(request, stream=True)
            try:
                content = self._whole(response, deadline)
            finally:
                response.close()
        except OSError as error:
            raise ServiceGoneError(f"the key cannot be read: {error}") from error
        except (httpx.HTTPError, httpx.StreamError, UnicodeError) as error:
            raise ServiceGoneError(f"{self.url}: {type(error).__name__}: {error}") from error
        if response.status_code == httpx.codes.GONE:
            raise OutOfRangeError(f"{self.url}: {_shown(content)}")
        if response.status_code != httpx.codes.OK:
            what = f"{response.status_code} {_shown(content)}"
            raise ServiceGoneError(f"{self.url} answered {what}")
        return content

    def _whole(self, response: httpx.Response, deadline: float) -> bytes:
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise ServiceGoneError(f"{self.url}: the answer is over {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ServiceGoneError(f"{self.url}: the answer takes too long")
        return b"".join(parts)


def _shown(content: bytes) -> str:
    return content[:_SHOWN_CHARACTERS].decode(errors="replace")
