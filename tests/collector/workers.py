"""A worker in a test: asked as a WSGI server would, read as the shipper would."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from collector.app import Worker, create_app
from collector.recovery import segment_numbers
from collector.segment_blocks import request_frame
from collector.segments import BLOCK_SUFFIX, OPEN_SUFFIX, Segment, read_segment
from collector.settings import CollectorSettings
from tallymark.properties import secret_hash

NOON_US = 1_767_268_800_000_000  # 2026-01-01 12:00 UTC
SECRET = "s3cret-of-the-shop"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"


@dataclass
class Clock:
    """UTC µs and seconds that move only when they are told to."""

    now: int = NOON_US

    def __call__(self) -> int:
        return self.now

    def seconds(self) -> float:
        return self.now / 1_000_000


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = int(status.split(" ", maxsplit=1)[0])
        self.headers = dict(headers)


@dataclass
class AskedWorker:
    """A worker and its application, in this process."""

    data_dir: Path
    worker: Worker
    app: Any
    clock: Clock

    def ask(self, path: str, query: str = "", body: bytes = b"", **more: str) -> Answer:
        """One request; ``more`` are WSGI variables, such as ``HTTP_ORIGIN``."""
        environ = {
            "REQUEST_METHOD": "POST" if body else "GET",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": "203.0.113.77",
            "HTTP_HOST": "stats.shop.test",
            "HTTP_USER_AGENT": BROWSER,
            "CONTENT_LENGTH": str(len(body)) if body else "",
            "SERVER_NAME": "stats.shop.test",
            "SERVER_PORT": "443",
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            **more,
        }
        answer = Answer()
        answer.body = b"".join(self.app(environ, answer.start))
        return answer

    def rows(self) -> list[dict[str, Any]]:
        """Everything recorded so far, through the same frame that is shipped."""
        return recorded_requests(self.data_dir).to_dicts()

    def row(self) -> dict[str, Any]:
        (row,) = self.rows()
        return row


@contextmanager
def worker_at(data_dir: Path, **settings: Any) -> Iterator[AskedWorker]:
    clock = Clock()
    write_properties(data_dir)
    worker = Worker.open(CollectorSettings(data_dir=data_dir, port=1, **settings), clock)
    try:
        yield AskedWorker(data_dir, worker, create_app(worker), clock)
    finally:
        worker.close()


def write_properties(
    data_dir: Path,
    measurement_id: str = "G-SHOP",
    secret: str = SECRET,
    stream: dict[str, Any] | None = None,
    **rules: Any,
) -> None:
    path = data_dir / "rules" / "properties.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    entry: dict[str, Any] = {
        "data_streams": [
            {
                "measurement_id": measurement_id,
                "api_secrets": [{"hash": secret_hash(secret), "expires_at": None}],
                **(stream or {}),
            }
        ]
    }
    if rules:
        entry["versions"] = [rules]
    new = path.with_suffix(".new")
    new.write_bytes(orjson.dumps({"properties": [entry]}))
    new.replace(path)


def segments(spool: Path) -> list[tuple[int, str, Segment]]:
    """(number, suffix, content) of every segment of a spool, by number."""
    return sorted(
        (
            (number, suffix, read_segment((spool / f"{number:010d}{suffix}").read_bytes()))
            for suffix in (BLOCK_SUFFIX, OPEN_SUFFIX)
            for number in segment_numbers(spool, suffix)
        ),
        key=lambda found: found[0],
    )


def recorded_requests(data_dir: Path) -> pl.DataFrame:
    spools = sorted((data_dir / "spools").iterdir())
    frames = [
        request_frame(segment.requests) for spool in spools for _, _, segment in segments(spool)
    ]
    return pl.concat(frames)


def everything_written(data_dir: Path) -> bytes:
    """Every byte under the data folder but the rules."""
    return b"\0".join(
        path.read_bytes()
        for path in sorted(data_dir.rglob("*"))
        if path.is_file() and "rules" not in path.parts
    )
