"""Everything that a stack has written, unpacked as far as anybody could unpack it."""

import base64
import binascii
import io
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import duckdb
import pyarrow as pa
from pyarrow import ipc

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")


def everything_written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Where each byte string lies, and the string: files as they are and what is packed in them."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        yield str(path), content
        if path.suffix == ".parquet":
            yield f"{path} (rows)", _parquet_text(path)
        elif content.startswith(b"SQLite format 3"):
            yield from _sqlite_values(path)
        else:
            yield from _arrow_texts(str(path), content)


def places_of(planted: list[str], folder: Path) -> list[str]:
    """Where a planted value can be found, plain, percent-encoded or in base64."""
    found = []
    for place, content in everything_written(folder):
        for form, text in _forms(content):
            found += [f"{value} ({form}) in {place}" for value in planted if value.encode() in text]
    return found


def _forms(content: bytes) -> Iterator[tuple[str, bytes]]:
    yield "plain", content
    yield "percent-encoded", unquote_to_bytes(content)
    yield "in JSON", content.replace(b"\\u00", b"%").replace(b"\\", b"")
    decoded = []
    for match in _BASE64.finditer(content):
        text = match[0][: len(match[0]) // 4 * 4]
        try:
            decoded.append(base64.b64decode(text))
        except binascii.Error:
            continue
    yield "base64", b"\n".join(decoded)


def _parquet_text(path: Path) -> bytes:
    rows = duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    return "\n".join(str(value) for row in rows for value in row).encode()


def _sqlite_values(path: Path) -> Iterator[tuple[str, bytes]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if not isinstance(value, bytes | str):
                        continue
                    content = value if isinstance(value, bytes) else value.encode()
                    place = f"{path} ({table})"
                    yield place, content
                    yield from _arrow_texts(place, content)
    finally:
        connection.close()


def _arrow_texts(place: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The rows of Arrow streams in ``content``, which begin with a continuation marker."""
    at = content.find(b"\xff\xff\xff\xff")
    while at >= 0:
        try:
            table = ipc.open_stream(io.BytesIO(content[at:])).read_all()
        except (pa.ArrowException, OSError, ValueError):
            at = content.find(b"\xff\xff\xff\xff", at + 4)
            continue
        yield f"{place} (rows)", str(table.to_pylist()).encode()
        return
