"""Whatever bytes come, the answer stays in the protocol and the record can be read again."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from collector.answers import ANSWERS
from collector.browsers import HEADER_KEYS
from tallymark.blocks import encode_requests
from tallymark.requests import REQUEST_SCHEMA
from tests.collector.workers import recorded_requests, worker_at

# WSGI hands bytes over as Latin-1; some servers as UTF-8, hence any character.
TEXT = st.one_of(
    st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")), st.text(max_size=20)
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "HTTP_REFERER",
            "CONTENT_LENGTH",
            "HTTP_X_FORWARDED_FOR",
            "HTTP_X_REQUEST_ID",
            "HTTP_X_REQUEST_START",
            "HTTP_CF_IPCOUNTRY",
            "HTTP_CONTENT_ENCODING",
            *HEADER_KEYS,
        ]
    ),
    TEXT,
)
QUERIES = st.one_of(
    TEXT,
    st.lists(
        st.tuples(st.sampled_from(["tid", "api_secret", "_uip", "%5fuip", "en"]), TEXT), max_size=4
    ).map(lambda pairs: "&".join("=".join(pair) for pair in pairs)),
)


@given(
    st.sampled_from(list(ANSWERS)), QUERIES, st.binary(max_size=200), HEADERS,
    st.sampled_from(["203.0.113.77", "2001:db8::1", "", "nonsense"]),
)  # fmt: skip
def test_any_request_is_answered_and_its_record_can_be_read(path, query, body, headers, peer):
    with (
        TemporaryDirectory() as folder,
        worker_at(Path(folder), trusted_proxies=("203.0.113.0/24",)) as collector,
    ):
        answer = collector.ask(path, query, body, REMOTE_ADDR=peer, **headers)
        is_taken = answer.status == int(ANSWERS[path].status[:3])
        assert is_taken or answer.status in (400, 413)
        assert answer.body == (ANSWERS[path].body[0] if is_taken else b"")
        assert all(text.isascii() and "\n" not in text for text in answer.headers.values())
        frame = recorded_requests(Path(folder))
        assert frame.schema == REQUEST_SCHEMA
        assert frame.height == is_taken
        assert frame.null_count().row(0) == (0,) * frame.width
        assert bool(encode_requests(frame)) == is_taken


@given(st.text())
def test_text_comes_back_from_the_frame_as_it_was_sent(text):
    with TemporaryDirectory() as folder, worker_at(Path(folder)) as collector:
        body = "en=" + text.replace("%", "").replace("uip", "").replace("cip", "")
        collector.ask("/g/collect", "tid=G-SHOP", body.encode())
        assert collector.row()["body"] == body
