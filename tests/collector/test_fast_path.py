"""What a request is answered, and what is recorded of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from collector.answers import ANSWERS
from collector.browsers import HEADER_KEYS
from collector.peers import network_of
from collector.visitors import DAY_US
from tallymark.protocols import DECODERS
from tests.collector.workers import BROWSER, NOON_US, SECRET, worker_at, write_properties

GA4_HIT = "v=2&tid=G-SHOP&cid=1.2&en=page_view&dl=https%3A%2F%2Fshop.test%2F%3Fa%3Db"
PLAIN = {
    "has_balancer_id": False,
    "received_at": NOON_US,
    "method": "GET",
    "path": "/g/collect",
    "query": GA4_HIT,
    "body": "",
    "body_encoding": "utf-8",
    "user_agent": BROWSER,
    "accept_language": "",
    "referer": "",
    "origin": "",
    "client_hints": "",
    "ip_network": "203.0.113.0/24",
    "secret_verdict": "",
    "do_not_track": False,
    "global_privacy_control": False,
    "country_hint": "",
}

CASES = {
    "a plain hit": (("/g/collect", GA4_HIT), {}, {}),
    "lines of a batch stay as they came": (
        ("/g/collect", "v=2&tid=G-SHOP", b"en=a&_et=1\r\n\r\nen=b\n"),
        {},
        {"method": "POST", "query": "v=2&tid=G-SHOP", "body": "en=a&_et=1\r\n\r\nen=b\n"},
    ),
    "a body that is no text": (
        ("/g/collect", GA4_HIT, b"en=\xff\xfe"),
        {},
        {"method": "POST", "body": "ZW49//4=", "body_encoding": "base64"},
    ),
    "headers of a browser": (
        ("/g/collect", GA4_HIT),
        {
            "HTTP_ACCEPT_LANGUAGE": "de-CH,de;q=0.9",
            "HTTP_REFERER": "https://shop.test/",
            "HTTP_ORIGIN": "https://shop.test",
            "HTTP_DNT": "1",
            "HTTP_SEC_GPC": "1",
            "HTTP_SEC_CH_UA_PLATFORM": '"Android"',
            "HTTP_SEC_CH_UA_MOBILE": "?1",
        },
        {
            "accept_language": "de-CH,de;q=0.9",
            "referer": "https://shop.test/",
            "origin": "https://shop.test",
            "do_not_track": True,
            "global_privacy_control": True,
            "client_hints": '{"Sec-CH-UA-Mobile":"?1","Sec-CH-UA-Platform":"\\"Android\\""}',
        },
    ),
    "an IPv6 peer": (
        ("/g/collect", GA4_HIT),
        {"REMOTE_ADDR": "2001:db8:aaaa:bbbb::1"},
        {"ip_network": "2001:db8:aaaa::/48"},
    ),
    "forwarding headers of an untrusted peer are nothing": (
        ("/g/collect", GA4_HIT),
        {
            "HTTP_X_FORWARDED_FOR": "198.51.100.9",
            "HTTP_X_REQUEST_ID": "r1",
            "HTTP_X_REQUEST_START": "t=1767268799.5",
            "HTTP_CF_IPCOUNTRY": "CH",
        },
        {},
    ),
    "bytes in the query that should have been encoded": (
        ("/g/collect", "tid=G-SHOP&dt=Caf\xc3\xa9"),
        {},
        {"query": "tid=G-SHOP&dt=Caf%C3%A9"},
    ),
    "UTF-8 in a header": (
        ("/g/collect", GA4_HIT),
        {"HTTP_USER_AGENT": "Caf\xc3\xa9"},
        {"user_agent": "Café"},
    ),
    "a valid secret": (
        ("/mp/collect", f"measurement_id=G-SHOP&api_secret={SECRET}", b'{"client_id":"1"}'),
        {},
        {
            "method": "POST",
            "path": "/mp/collect",
            "query": "measurement_id=G-SHOP&api_secret=*",
            "body": '{"client_id":"1"}',
            "secret_verdict": "valid",
        },
    ),
    "a wrong secret": (
        ("/mp/collect", "measurement_id=G-SHOP&api_secret=wrong", b"{}"),
        {},
        {
            "method": "POST",
            "path": "/mp/collect",
            "query": "measurement_id=G-SHOP&api_secret=*",
            "body": "{}",
            "secret_verdict": "invalid",
        },
    ),
}


@pytest.mark.parametrize(("asked", "headers", "differs"), CASES.values(), ids=CASES)
def test_a_request_is_recorded_as_it_came(tmp_path: Path, asked, headers, differs):
    with worker_at(tmp_path) as collector:
        answer = collector.ask(*asked, **headers)
        row = collector.row()
    assert answer.status == 204
    assert answer.body == b""
    request_id, visitor_hash = row.pop("request_id"), row.pop("visitor_hash")
    assert row == PLAIN | differs
    assert len(request_id) == 32
    assert request_id[12] == "7"
    assert int(request_id[:12], 16) == NOON_US // 1_000
    assert len(visitor_hash) == 16


FORWARDED = {
    "one proxy": ("10.0.0.1", "198.51.100.9", "198.51.100.0/24"),
    "what a client wrote itself is not believed": (
        "10.0.0.1",
        "192.0.2.1, 198.51.100.9",
        "198.51.100.0/24",
    ),
    "a chain of trusted proxies": ("10.0.0.1", "198.51.100.9, 10.0.0.2", "198.51.100.0/24"),
    "an address with a port": ("10.0.0.1", "198.51.100.9:4711", "198.51.100.0/24"),
    "IPv6 in brackets": ("10.0.0.1", "[2001:db8:1:2::3]:4711", "2001:db8:1::/48"),
    "what is no address ends the chain": ("10.0.0.1", "unknown", "10.0.0.0/24"),
    "no header": ("10.0.0.1", "", "10.0.0.0/24"),
}


@pytest.mark.parametrize(("peer", "forwarded", "network"), FORWARDED.values(), ids=FORWARDED)
def test_the_client_is_the_last_untrusted_address(tmp_path: Path, peer, forwarded, network):
    with worker_at(tmp_path, trusted_proxies=("10.0.0.0/8",)) as collector:
        collector.ask("/g/collect", GA4_HIT, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
        assert collector.row()["ip_network"] == network


def test_copies_of_a_balanced_request_carry_the_same_id_and_the_balancers_time(tmp_path: Path):
    told = {"HTTP_X_REQUEST_ID": "r1", "HTTP_X_REQUEST_START": "t=1767268799.5"}
    ids = []
    for name in ("one", "other"):
        with worker_at(tmp_path / name, trusted_proxies=("203.0.113.0/24",)) as collector:
            collector.ask("/g/collect", GA4_HIT, HTTP_CF_IPCOUNTRY="ch", **told)
            row = collector.row()
        assert row["has_balancer_id"]
        assert row["country_hint"] == "CH"
        assert row["received_at"] == NOON_US
        ids.append(row["request_id"])
    assert ids[0] == ids[1]
    assert int(ids[0][:12], 16) == 1_767_268_799_500


def test_a_hit_that_is_sent_again_carries_the_id_and_time_that_its_page_gave_it(tmp_path: Path):
    named = f"{GA4_HIT}&_tk=1767268799500.17672687990001234561"
    with worker_at(tmp_path, trusted_proxies=("203.0.113.0/24",)) as collector:
        for age_ms, balancer in ((3, "r1"), (60_000, "r2")):
            told = {"HTTP_X_REQUEST_ID": balancer, "HTTP_X_REQUEST_START": "t=1767268799.9"}
            collector.ask("/g/collect", f"{named}&_ta={age_ms}", **told)
        first, again = collector.rows()
    assert first["has_balancer_id"]
    assert first["request_id"] == again["request_id"]
    assert int(first["request_id"][:12], 16) == 1_767_268_799_500


@pytest.mark.parametrize("end", [
    "&_tk=1767268799500.123456", "&_tk=abc.123456&_ta=1", "&_tk=1767268799500.12&_ta=1",
    "&_tk=1767268799500.123456&_ta=x", "&_tk=1767268799500.123456&_ta=1&cid=2",
])  # fmt: skip
def test_what_only_looks_like_a_name_of_a_hit_is_none(tmp_path: Path, end: str):
    with worker_at(tmp_path) as collector:
        collector.ask("/g/collect", GA4_HIT + end)
        assert not collector.row()["has_balancer_id"]


REASONS = {
    "known property": ("/g/collect", "tid=G-SHOP", ""),
    "unknown property": ("/g/collect", "tid=G-OTHER", "unknown_measurement_id"),
    "no property": ("/g/collect", "v=2", "missing_measurement_id"),
    "no secret": ("/mp/collect", "measurement_id=G-SHOP", "missing_api_secret"),
    "wrong secret": (
        "/mp/collect",
        "measurement_id=G-SHOP&api_secret=x",
        "invalid_api_secret",
    ),
    "secret of an unknown property": (
        "/mp/collect",
        f"measurement_id=G-OTHER&api_secret={SECRET}",
        "unknown_measurement_id",
    ),
    "right secret": ("/mp/collect", f"api_secret={SECRET}&measurement_id=G%2DSHOP", ""),
}


@pytest.mark.parametrize(("path", "query", "reason"), REASONS.values(), ids=REASONS)
def test_the_answer_says_why_a_hit_may_not_count(tmp_path: Path, path, query, reason):
    with worker_at(tmp_path) as collector:
        answer = collector.ask(path, query)
        assert answer.status == 204
        assert answer.headers.get("X-Tallymark-Reason", "") == reason
        assert len(collector.rows()) == 1


@pytest.mark.parametrize("line", ["tid=G-SHOP&t=pageview", "t=pageview&tid=G-SHOP\r\nt=event"])
def test_a_property_may_be_named_in_the_body(tmp_path: Path, line: str):
    with worker_at(tmp_path) as collector:
        answer = collector.ask("/batch", "", line.encode())
        unknown = collector.ask("/batch", "", line.replace("SHOP", "OTHER").encode())
    assert "X-Tallymark-Reason" not in answer.headers
    assert unknown.headers["X-Tallymark-Reason"] == "unknown_measurement_id"


def test_every_path_that_takes_hits_is_one_that_is_understood():
    assert ANSWERS.keys() == DECODERS.keys()


@pytest.mark.parametrize(
    ("path", "status", "mimetype", "begins"),
    [
        ("/g/collect", 204, None, b""),
        ("/mp/collect", 204, None, b""),
        ("/p.gif", 200, "image/gif", b"GIF89a"),
        ("/collect", 200, "image/gif", b"GIF89a"),
        ("/r/collect", 200, "image/gif", b"GIF89a"),
        ("/batch", 200, "image/gif", b"GIF89a"),
        ("/j/collect", 200, "text/plain", b"1"),
    ],
)
def test_each_protocol_is_answered_as_its_clients_expect(
    tmp_path: Path, path, status, mimetype, begins
):
    with worker_at(tmp_path) as collector:
        answer = collector.ask(path, GA4_HIT, HTTP_ORIGIN="https://shop.test")
    assert answer.status == status
    assert answer.headers.get("Content-Type") == mimetype
    assert answer.body.startswith(begins)
    assert int(answer.headers.get("Content-Length", 0)) == len(answer.body)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.test"


def test_rules_that_change_are_known_after_a_tick(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        write_properties(tmp_path, measurement_id="G-NEW")
        collector.worker.tick()
        assert "X-Tallymark-Reason" not in collector.ask("/g/collect", "tid=G-NEW").headers
        (tmp_path / "rules" / "properties.json").write_bytes(b"{ broken")
        collector.worker.known.refresh()
        assert "X-Tallymark-Reason" not in collector.ask("/g/collect", "tid=G-NEW").headers


def test_browsers_with_credentials_are_named_their_own_origin(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        answer = collector.ask("/g/collect", GA4_HIT, HTTP_ORIGIN="https://shop.test")
        preflight = collector.ask(
            "/g/collect",
            REQUEST_METHOD="OPTIONS",
            HTTP_ORIGIN="https://shop.test",
            HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST",
            HTTP_ACCESS_CONTROL_REQUEST_HEADERS="content-type",
        )
        assert len(collector.rows()) == 1
    for headers in (answer.headers, preflight.headers):
        assert headers["Access-Control-Allow-Origin"] == "https://shop.test"
        assert headers["Access-Control-Allow-Credentials"] == "true"
        assert headers["Vary"] == "Origin"
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]


def test_no_cache_keeps_the_answer_to_a_hit_that_was_asked_for(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        assert collector.ask("/g/collect", GA4_HIT).headers["Cache-Control"] == "no-store"
        posted = collector.ask("/g/collect", GA4_HIT, b"en=a", HTTP_ORIGIN="https://shop.test")
    assert posted.headers == {
        "Access-Control-Allow-Origin": "https://shop.test",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "X-Tallymark-Hit",
        "X-Tallymark-Hit": posted.headers["X-Tallymark-Hit"],
    }


TRACKED = GA4_HIT + "&_tk=1700000000123.123456789&_ta=5"
"""As our tracker names a hit that it may send again."""


@pytest.mark.parametrize("path", sorted(ANSWERS))
@pytest.mark.parametrize("query", [GA4_HIT, TRACKED])
def test_an_answer_names_the_request_that_was_recorded(tmp_path: Path, path, query):
    with worker_at(tmp_path) as collector:
        answer = collector.ask(path, query)
        [row] = collector.rows()
    assert answer.headers["X-Tallymark-Hit"] == row["request_id"]
    assert "Access-Control-Expose-Headers" not in answer.headers


def test_a_request_that_was_not_recorded_is_not_named(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        refused = collector.ask("/g/collect", GA4_HIT, b"x" * 3_000_000)
        other = collector.ask("/g/collect", REQUEST_METHOD="OPTIONS")
        assert collector.rows() == []
    assert refused.status == 413
    assert "X-Tallymark-Hit" not in refused.headers
    assert "X-Tallymark-Hit" not in other.headers


BROWSERS = {
    "with the usual hints": {
        "HTTP_ACCEPT_LANGUAGE": "de", "HTTP_ORIGIN": "https://a.test", "HTTP_SEC_CH_UA": '"C"',
        "HTTP_SEC_CH_UA_MOBILE": "?0", "HTTP_SEC_CH_UA_PLATFORM": '"Linux"',
    },
    "without hints": {"HTTP_ACCEPT_LANGUAGE": "de", "HTTP_ORIGIN": "https://a.test"},
    "with little": {},
}  # fmt: skip


@pytest.mark.parametrize("headers", BROWSERS.values(), ids=BROWSERS)
def test_browsers_that_differ_in_one_header_are_told_apart(tmp_path: Path, headers):
    columns = {
        "HTTP_USER_AGENT": "user_agent",
        "HTTP_ACCEPT_LANGUAGE": "accept_language",
        "HTTP_ORIGIN": "origin",
        "HTTP_DNT": "do_not_track",
        "HTTP_SEC_GPC": "global_privacy_control",
        **{key: "client_hints" for key in HEADER_KEYS if "_CH_UA" in key},
        "HTTP_HOST": "visitor_hash",
        "REMOTE_ADDR": "visitor_hash",
    }
    with worker_at(tmp_path) as collector:
        collector.ask("/g/collect", GA4_HIT, **headers)
        for key in columns:
            changed = "1" if key != "REMOTE_ADDR" else "203.0.113.78"
            collector.ask("/g/collect", GA4_HIT, **(headers | {key: changed}))
        first, *others = collector.rows()
    for (key, column), other in zip(columns.items(), others, strict=True):
        assert other[column] != first[column], key


def test_other_methods_are_not_recorded(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        answer = collector.ask("/g/collect", GA4_HIT, REQUEST_METHOD="DELETE")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST, OPTIONS")
        assert collector.rows() == []


def test_a_body_that_is_cut_short_is_no_hit(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        assert collector.ask("/g/collect", GA4_HIT, b"en=pur", CONTENT_LENGTH="60").status == 400
        assert collector.rows() == []


@pytest.mark.parametrize("announced", ["2001", "", "1000000000000"])
def test_a_body_over_the_limit_is_refused(tmp_path: Path, announced):
    with worker_at(tmp_path, max_body_bytes=2_000) as collector:
        long = collector.ask("/g/collect", GA4_HIT, b"x" * 2_001, CONTENT_LENGTH=announced)
        assert long.status == 413
        assert collector.rows() == []
        assert collector.ask("/g/collect", GA4_HIT, b"x" * 2_000).status == 204


def test_a_new_day_makes_new_visitors(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        for moved in (0, 1, DAY_US):
            collector.clock.now += moved
            collector.worker.browsers.tidy()
            collector.ask("/g/collect", GA4_HIT)
        collector.ask("/g/collect", GA4_HIT, REMOTE_ADDR="203.0.113.78")
        first, same, next_day, neighbour = (row["visitor_hash"] for row in collector.rows())
    assert first == same
    assert len({same, next_day, neighbour}) == 3


def test_full_spools_turn_requests_away_until_there_is_room(tmp_path: Path):
    with worker_at(tmp_path, max_segment_bytes=1_000_000) as collector:
        answers = [collector.ask("/g/collect", GA4_HIT, b"x" * 100_000) for _ in range(12)]
        statuses = [answer.status for answer in answers]
        recorded = statuses.count(204)
        assert statuses == [204] * recorded + [503] * (12 - recorded)
        assert 7 <= recorded <= 9
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert len(collector.rows()) == recorded
        assert collector.ask("/readyz").status == 503
        collector.worker.space.used_bytes = 0  # as it measures once the shipper has unlinked
        assert collector.ask("/readyz").status == 200
        assert collector.ask("/g/collect", GA4_HIT).status == 204


def test_a_worker_that_stops_sends_clients_elsewhere(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        collector.worker.close()
        assert collector.ask("/g/collect", GA4_HIT).status == 503
        assert collector.ask("/readyz").status == 503
        assert collector.ask("/healthz").status == 200


def test_metrics_count_what_was_answered(tmp_path: Path):
    with worker_at(tmp_path, max_body_bytes=10) as collector:
        collector.ask("/g/collect", GA4_HIT)
        collector.ask("/g/collect", "tid=G-OTHER")
        collector.ask("/g/collect", GA4_HIT, b"x" * 11)
        lines = collector.ask("/metrics").body.decode().splitlines()
    assert "tallymark_collector_requests_recorded_total 2.0" in lines
    assert "tallymark_collector_requests_doubted_total 1.0" in lines
    assert "tallymark_collector_requests_refused_large_total 1.0" in lines
    assert "tallymark_collector_known_properties 1.0" in lines


def test_the_tracker_is_asked_for_again_by_its_tag(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        script = collector.ask("/t.js", "id=G-SHOP")
        assert script.status == 200
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert b"/g/collect" in script.body
        assert "max-age=300" in script.headers["Cache-Control"]
        again = collector.ask("/t.js", HTTP_IF_NONE_MATCH=script.headers["ETag"])
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.255", "192.0.2.0/24"),
        ("::ffff:192.0.2.9", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_an_address_is_cut_to_its_network(address, network):
    assert network_of(address) == network


def test_a_worker_stays_small():
    loaded = "import sys, collector.app; print([m for m in sys.modules if '.' not in m])"
    modules = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("polars", "pyarrow", "numpy", "grpc", "apache_beam"):
        assert f"'{heavy}'" not in modules
