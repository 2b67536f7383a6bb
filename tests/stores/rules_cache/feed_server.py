"""A small configuration service that keeps the contract of the feed, and breaks when told to.

``ModelDatabase`` is what such a service knows, without HTTP; ``FeedServer`` answers over HTTP.
"""

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from stores.rules_cache.documents import encode_properties
from tallymark.properties import DataStream, Property, RulesVersion
from tallymark.rule_documents import Rules
from tallymark.rules_delay import RULES_DELAY_SECONDS

KEY = "feed-key-of-a-test"
DELAY_US = RULES_DELAY_SECONDS * 1_000_000


def measurement_id(number: int) -> str:
    return f"G-{number:010d}"


def shop(number: int, **rules: Any) -> Property:
    """A property with one data stream, both named after ``number``."""
    return Property(
        property_id=100_000_000 + number,
        name=f"Shop {number}",
        data_streams=(DataStream(measurement_id=measurement_id(number)),),
        versions=(RulesVersion(version=1, rules=Rules(**rules)),),
    )


class OutOfRangeError(Exception):
    """The log does not reach to the position."""


class ModelDatabase:
    """Properties and the log of their changes.

    Attributes:
        now_us: UTC µs of its clock; moved by whoever wants it to.
        log: (sequence, property id, measurement ids old and new).
        history: Of each property, (sequence, what it was from then on); ``None``: removed.
        kept_after: The log begins after this position.
    """

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self.database_id = secrets.token_hex(8)
        self.now_us = now_us
        self.properties: dict[int, Property] = {}
        self.log: list[tuple[int, int, list[str]]] = []
        self.history: dict[int, list[tuple[int, Property | None]]] = {}
        self.noted_at: dict[int, int] = {}
        self.position = 0
        self.kept_after = 0

    def save(self, owner: Property) -> Property:
        self._note(owner.property_id, owner)
        self.properties[owner.property_id] = owner
        return owner

    def change(self, property_id: int, **rules: Any) -> Property:
        """A new version of the rules, in force after the delay."""
        owner = self.properties[property_id]
        last = owner.versions[-1]
        effective_at = max(self.now_us + DELAY_US, last.effective_at + 1)
        new = RulesVersion(
            version=last.version + 1, effective_at=effective_at, rules=Rules(**rules)
        )
        return self.save(replace(owner, versions=(*owner.versions, new)))

    def remove(self, property_id: int) -> None:
        self._note(property_id, None)
        del self.properties[property_id]

    def as_of(self, position: int) -> dict[int, Property]:
        """What there was at a position."""
        then = {}
        for property_id, steps in self.history.items():
            held = [owner for sequence, owner in steps if sequence <= position]
            if held and held[-1] is not None:
                then[property_id] = held[-1]
        return then

    def trim(self, kept_after: int) -> None:
        self.kept_after = kept_after
        self.log = [row for row in self.log if row[0] > kept_after]

    def changes(self, after: int, limit: int = 1_000) -> bytes:
        answered_at = self.now_us
        if not self.kept_after <= after <= self.position:
            raise OutOfRangeError
        rows = [row for row in self.log if row[0] > after][:limit]
        changes = [
            {"sequence": sequence, "property_id": owner, "measurement_ids": ids}
            for sequence, owner, ids in rows
        ]
        position = rows[-1][0] if rows else after
        return self._answer(changes=changes, position=position, answered_at=answered_at)

    def lookup(self, measurement_ids: list[str], property_ids: list[int], *, lag: int = 0) -> bytes:
        """The answer as it was ``lag`` changes ago: it says so, as one that is on its way long."""
        wanted = set(measurement_ids)
        position = max(0, self.position - lag)
        properties = self.as_of(position) if lag else self.properties
        owners = (
            owner
            for owner in properties.values()
            if owner.property_id in property_ids or wanted & set(owner.measurement_ids)
        )
        answered_at = self.noted_at.get(position + 1, self.now_us)
        return self._found(owners, position, answered_at)

    def page(self, after: int, limit: int = 1_000) -> bytes:
        ids = sorted(one for one in self.properties if one > after)[:limit]
        return self._found((self.properties[one] for one in ids), self.position, self.now_us)

    def _found(self, owners: Iterator[Property], position: int, answered_at: int) -> bytes:
        rows = json.loads(encode_properties(owners))["properties"]
        return self._answer(properties=rows, position=position, answered_at=answered_at)

    def _answer(self, **facts: Any) -> bytes:
        return orjson.dumps({"database_id": self.database_id, **facts})

    def _note(self, property_id: int, new: Property | None) -> None:
        old = self.properties.get(property_id)
        ids = {one for owner in (old, new) if owner for one in owner.measurement_ids}
        self.position += 1
        self.log.append((self.position, property_id, sorted(ids)))
        self.noted_at[self.position] = self.now_us
        self.history.setdefault(property_id, []).append((self.position, new))


class FeedServer:
    """The service over HTTP, on a port of its own that it keeps over restarts.

    Attributes:
        database: What it answers from; its clock is the machine's.
        fault: "" or how it breaks: "error" (500), "hang", "drip" (a byte now and then), "half" (the
            answer breaks off), "garbage", "reset" (no answer at all).
        faulty_paths: The paths that break; all by default.
        asked: Path and body of each request.
    """

    def __init__(self, database: ModelDatabase | None = None) -> None:
        self.database = database or ModelDatabase()
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.fault = ""
        self.faulty_paths = ("/v1/changes", "/v1/properties:lookup", "/v1/properties:page")
        self.asked: list[tuple[str, Any]] = []
        self.key = KEY
        self._connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def lookups(self) -> list[dict[str, list[Any]]]:
        """The bodies of the lookups that asked for anything."""
        found = [body for path, body in self.asked if path == "/v1/properties:lookup"]
        return [body for body in found if body["measurement_ids"] or body["property_ids"]]

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def stop(self) -> None:
        """Go away; every connection breaks."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self.lock:
            for connection in self._connections:
                _cut(connection)
            self._connections.clear()
            self.changed.notify_all()

    @property
    def is_up(self) -> bool:
        return self._server is not None

    @contextmanager
    def writing(self) -> Iterator[ModelDatabase]:
        """The database, for changes; whoever waits for one is told."""
        with self.changed:
            self.database.now_us = time.time_ns() // 1_000
            yield self.database
            self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    service: FeedServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        with self.service.lock:
            self.service._connections.add(self.connection)

    def finish(self) -> None:
        with self.service.lock:
            self.service._connections.discard(self.connection)
        super().finish()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the other side has gone, or this one was told to
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self._serve(json.loads(self.rfile.read(length)))

    def _serve(self, body: Any) -> None:
        service, parts = self.service, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with service.lock:
            service.asked.append((parts.path, body if body is not None else query))
            fault = service.fault if parts.path in service.faulty_paths else ""
        if self.headers["Authorization"] != f"Bearer {service.key}":
            self._send(401, b'{"error":{"status":"UNAUTHENTICATED"}}')
            return
        try:
            content = self._content(parts.path, query, body, waits=not fault)
        except OutOfRangeError:
            self._send(410, b'{"error":{"status":"OUT_OF_RANGE"}}')
            return
        self._send_broken(fault, content) if fault else self._send(200, content)

    def _content(self, path: str, query: dict[str, str], body: Any, *, waits: bool) -> bytes:
        service = self.service
        with service.changed:
            if path == "/v1/properties:lookup":
                assert len(body["measurement_ids"]) <= 1_000
                assert len(body["property_ids"]) <= 1_000
                service.database.now_us = time.time_ns() // 1_000
                return service.database.lookup(body["measurement_ids"], body["property_ids"])
            if path == "/v1/properties:page":
                return service.database.page(int(query["after"]), int(query["limit"]))
            until = time.monotonic() + float(query["wait"]) * waits
            while True:
                service.database.now_us = time.time_ns() // 1_000
                content = service.database.changes(int(query["after"]), int(query["limit"]))
                left = until - time.monotonic()
                if json.loads(content)["changes"] or left <= 0 or not service.is_up:
                    return content
                service.changed.wait(left)

    def _send(self, status: int, content: bytes, *, claimed: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        self.end_headers()
        self.wfile.write(content)

    def _send_broken(self, fault: str, content: bytes) -> None:
        if fault == "error":
            self._send(500, b'{"error":{"status":"INTERNAL"}}')
        elif fault == "garbage":
            self._send(200, b'{"properties": 7}')
        elif fault == "half":
            self._send(200, content[: len(content) // 2], claimed=len(content))
            self.close_connection = True
        elif fault == "reset":
            _cut(self.connection)
            self.close_connection = True
        else:
            self._send(200, b"", claimed=len(content))
            for place in range(len(content)):
                if self.service.fault != fault:
                    break
                if fault == "drip":
                    self.wfile.write(content[place : place + 1])
                time.sleep(0.02)
            self.close_connection = True


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(database: ModelDatabase | None = None) -> Iterator[FeedServer]:
    """A service for a test."""
    server = FeedServer(database)
    try:
        yield server
    finally:
        server.fault = ""
        server.stop()


def key_file(folder: Path) -> Path:
    """A file with the key."""
    path = folder / "feed_key"
    path.write_text(KEY + "\n")
    return path
