"""Whatever is asked of whichever endpoint: never a 5xx, never a traceback, and nothing in between:
what was recorded is what processing makes hits or dead letters of, request by request."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from collector.answers import ANSWERS
from collector.browsers import HEADER_KEYS
from collector.reasons import REASONS
from tallymark.blocks import encode_requests
from tallymark.hits import request_id_of
from tallymark.processing import process_requests
from tests.collector.workers import SECRET, Answer, recorded_requests, worker_at
from tests.tallymark.recorded import shop

OTHERS = (
    "/debug/mp/collect", "/debug/collect", "/t.js", "/healthz", "/readyz", "/metrics", "/", "",
    "/g/collect/", "//g/collect", "/g/collect/../metrics", "/G/COLLECT", "/\u00e9", "*", "/%00",
)  # fmt: skip
METHODS = (
    "GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "",
    "X-Y",
)  # fmt: skip
WSGI_TEXT = st.one_of(st.binary(max_size=60), st.text(max_size=20).map(str.encode)).map(
    lambda raw: raw.decode("latin-1")  # as PEP 3333 and the server have it
)
NAMES = st.sampled_from([
    "v", "tid", "cid", "uid", "en", "dl", "dh", "dp", "dr", "dt", "t", "ea", "pa", "ti", "tr", "cu",
    "sid", "_et", "_tk", "_ta", "_uip", "api_secret", "measurement_id", "ep.value", "epn.value",
    "up.plan", "pr1", "pr1id", "pr1pr", "il1nm", "qt", "ni", "sr", "ul", "_fv", "_ss", "gcs",
])  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([
        "G-SHOP", "G-OTHER", "page_view", "purchase", "555.1700000000", "1", "0", "-1", "1e400",
        "9" * 400, "NaN", "https://shop.test/a?b=c", "https://[::1", "%", "%E9", "%00", "+", "EUR",
        "transaction", "event", "pageview", SECRET, "idSKU~nmShoe~pr9.5~qt2", "~",
        "\xf0\x9f\x98\x80",
    ]),
    WSGI_TEXT,
)  # fmt: skip
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
KNOWN = st.sampled_from(["", "tid=G-SHOP&v=2&cid=1.2&en=a&", "measurement_id=G-SHOP&api_secret="
                         + SECRET + "&", "v=1&tid=G-SHOP&cid=1&t=pageview&dp=/&"])  # fmt: skip
QUERIES = st.one_of(WSGI_TEXT, st.builds(str.__add__, KNOWN, PAIRS))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
              st.sampled_from(["1.2", "page_view", "purchase", "1767268800000000", "EUR"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["client_id", "events", "name", "params", "items", "value", "currency",
                             "user_properties", "timestamp_micros", "user_id", "price", "x"]),
            inner, max_size=5,
        ),
    ),
    max_leaves=20,
)  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {"client_id": st.one_of(st.just("1.2"), JSON), "events": st.one_of(
        JSON,
        st.lists(st.fixed_dictionaries({"name": st.one_of(st.just("purchase"), JSON),
                                        "params": JSON}), max_size=3))},
    optional={"timestamp_micros": JSON, "user_properties": JSON, "user_id": JSON},
)  # fmt: skip


def _dumped(value: Any) -> bytes:
    """With ``NaN`` and halves of characters, as some clients write it."""
    return json.dumps(value).encode()


BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    st.lists(PAIRS, max_size=25).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    JSON.map(_dumped),
    EVENTS.map(_dumped),
)
HEADERS = st.dictionaries(
    st.sampled_from([
        "HTTP_REFERER", "HTTP_X_FORWARDED_FOR", "HTTP_X_REQUEST_ID", "HTTP_X_REQUEST_START",
        "HTTP_CF_IPCOUNTRY", "HTTP_CONTENT_ENCODING", "HTTP_ACCEPT_ENCODING", "HTTP_RANGE",
        "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_EXPECT", "HTTP_COOKIE", "HTTP_HOST",
        "HTTP_TRANSFER_ENCODING", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "CONTENT_TYPE",
        "CONTENT_LENGTH", *HEADER_KEYS,
    ]),
    st.one_of(WSGI_TEXT, st.sampled_from(["gzip", "deflate", "br", "chunked", "*", "W/\"x\"", "0",
                                          "-1", "9" * 5_000, "\xd9\xa3", "bytes=0-", "null"])),
    max_size=6,
)  # fmt: skip
PEERS = st.sampled_from(["203.0.113.77", "2001:db8::1", "", "nonsense", "fe80::1%eth0"])


@pytest.fixture(scope="module")
def log() -> Iterator[list[logging.LogRecord]]:
    """What anybody logs while examples run."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


def assert_fit_to_send(answer: Answer, log: list[logging.LogRecord]) -> None:
    assert 200 <= answer.status < 500
    assert [record.getMessage() for record in log if record.levelno >= logging.ERROR] == []
    assert b"Traceback" not in answer.body
    for name, text in answer.headers.items():
        assert text.isascii(), name
        assert not {"\r", "\n"} & set(text), name
    assert answer.headers.get("X-Tallymark-Reason", "") in REASONS | {""}


def assert_conserved(requests: pl.DataFrame) -> None:
    """Each request ends in hits or in dead letters, nothing else does, and the block keeps all."""
    processed = process_requests(requests, lambda _: shop())
    recorded = set(requests["request_id"])
    hits = set(processed.hits.select(request_id_of(pl.col("hit_id"))).to_series())
    letters = set(processed.dead_letters["request_id"])
    assert hits | letters == recorded
    assert bool(encode_requests(requests)) == bool(requests.height)
    event(f"requests with hits: {len(hits)}, with dead letters: {len(letters)}")


Asked = tuple[str, str, str, bytes, dict[str, str], str]


def requests_to(paths: tuple[str, ...]) -> st.SearchStrategy[Asked]:
    return st.tuples(
        st.one_of(st.sampled_from(["GET", "POST"]), st.sampled_from(METHODS)),
        st.sampled_from(paths),
        QUERIES,
        BODIES,
        HEADERS,
        PEERS,
    )


@given(asked=st.lists(requests_to(tuple(ANSWERS)), min_size=1, max_size=12))
def test_what_is_answered_as_taken_becomes_hits_or_dead_letters(asked: list[Asked], log) -> None:
    log.clear()
    with (
        TemporaryDirectory() as folder,
        worker_at(Path(folder), trusted_proxies=("203.0.113.0/24",)) as collector,
    ):
        taken = 0
        for method, path, query, body, headers, peer in asked:
            told = {"REQUEST_METHOD": method, "REMOTE_ADDR": peer} | headers
            answer = collector.ask(path, query, body, **told)
            assert_fit_to_send(answer, log)
            is_taken = method in ("GET", "POST") and answer.status < 400
            taken += is_taken
            event(f"{path} {answer.status}")
        requests = recorded_requests(Path(folder))
        assert requests.height == taken
        assert_conserved(requests.unique("request_id", maintain_order=True))


@given(asked=requests_to(OTHERS))
def test_any_other_endpoint_answers_any_request_and_records_nothing(asked: Asked, log) -> None:
    log.clear()
    method, path, query, body, headers, peer = asked
    with TemporaryDirectory() as folder, worker_at(Path(folder)) as collector:
        told = {"REQUEST_METHOD": method, "REMOTE_ADDR": peer} | headers
        answer = collector.ask(path, query, body, **told)
        assert_fit_to_send(answer, log)
        assert recorded_requests(Path(folder)).height == 0
        event(f"{path} {answer.status}")
