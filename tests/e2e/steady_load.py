"""A steady load of numbered hits over a few connections, each with what was answered to it.

Every hit has a number of its own (``epn.number``), so that what an archive holds can be held
against what was answered, whatever broke in between.
"""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

CONNECTIONS = 16
CLIENTS = 5_000
"""Visitors who take turns, so that what a stream keeps of them does not grow."""
ANSWER_SECONDS = 30.0
_PAGE = "https%3A%2F%2Fsoaked.example%2F"


@dataclass
class Answers:
    """Numbers of hits, by what became of them.

    Attributes:
        accepted: Answered 204: they must be archived.
        unknown: The connection broke before an answer: they may be.
        refused: Answered otherwise, with the status: they must not be.
    """

    accepted: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    refused: dict[int, int] = field(default_factory=dict)


class SteadyLoad:
    """Sends hits from a thread, so many a second, until it leaves the ``with``.

    Args:
        port: Of the collector.
        measurement_id: Of the property.
        requests_per_second: 0 sends as many as are answered.
    """

    def __init__(self, port: int, measurement_id: str, requests_per_second: float = 0.0) -> None:
        self._port = port
        self._measurement_id = measurement_id
        self._pause_seconds = CONNECTIONS / requests_per_second if requests_per_second else 0.0
        self._leaving = threading.Event()
        self._next_number = 0
        self._connections: list[socket.socket | None] = [None] * CONNECTIONS
        self.answers = Answers()

    def __enter__(self) -> "SteadyLoad":
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()
        for connection in self._connections:
            if connection is not None:
                connection.close()

    def _run(self) -> None:
        next_at = time.monotonic()
        while not self._leaving.is_set():
            self._round()
            next_at = max(next_at + self._pause_seconds, time.monotonic() - 1.0)
            time.sleep(max(0.0, next_at - time.monotonic()))

    def _round(self) -> None:
        """A hit on each connection, then the answers."""
        sent = {place: self._send(place) for place in range(CONNECTIONS)}
        for place, number in sent.items():
            if number is not None:
                self._note(place, number)

    def _send(self, place: int) -> int | None:
        """The number of the hit that was sent; ``None`` if there is no connection."""
        connection = self._connections[place] or self._connected(place)
        if connection is None:
            return None
        number = self._next_number
        self._next_number += 1
        try:
            connection.sendall(self._request(number))
        except OSError:  # part of it may have arrived
            self._lose(place, number)
            return None
        return number

    def _request(self, number: int) -> bytes:
        target = (
            f"/g/collect?v=2&tid={self._measurement_id}&cid=soak.{number % CLIENTS}&en=page_view"
            f"&dl={_PAGE}{number % 50}&epn.number={number}"
        )
        return f"POST {target} HTTP/1.1\r\nHost: soaked\r\nContent-Length: 0\r\n\r\n".encode()

    def _connected(self, place: int) -> socket.socket | None:
        with suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", self._port), timeout=1.0)
            connection.settimeout(ANSWER_SECONDS)
            self._connections[place] = connection
            return connection
        return None

    def _note(self, place: int, number: int) -> None:
        connection, answer = self._connections[place], b""
        assert connection is not None
        try:
            while b"\r\n\r\n" not in answer:
                part = connection.recv(65_536)
                if not part:
                    return self._lose(place, number)
                answer += part
        except OSError:
            return self._lose(place, number)
        status = int(answer.split(b" ", 2)[1])
        if status == 204:
            self.answers.accepted.add(number)
        else:
            self.answers.refused[number] = status
            self._drop(place)
        return None

    def _lose(self, place: int, number: int) -> None:
        self.answers.unknown.add(number)
        self._drop(place)

    def _drop(self, place: int) -> None:
        connection, self._connections[place] = self._connections[place], None
        if connection is not None:
            connection.close()
