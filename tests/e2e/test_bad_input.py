"""What nobody should send: it is answered, it is kept as a dead letter where it cannot be counted,
it breaks nothing, and no address and no secret that was in it is written anywhere."""

import gzip
import http.client
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest

from .reports import ask
from .stack import Site, Stack, eventually, running
from .written import places_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ADDRESSES = ["203.0.113.77", "2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002:0003:0004:0005:0006"]
SECRETS = [f"planted{secrets.token_hex(12)}" for _ in range(12)]
PERSON = f"jane.planted{secrets.token_hex(6)}"
MAIL = f"{PERSON}@example.com"
PHONES = ["+49 176 55501234", "+4917655501234", "0049-176-55501234", "0176 55501234"]
CARDS = ["4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444"]
WEB, SERVER = "/g/collect", "/mp/collect"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Bad:
    """A request, the statuses that are an answer to it, and the reason that it is given."""

    name: str
    target: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    statuses: tuple[int, ...] = (204,)
    reason: str = ""


def _web(site: Site, query: str = "", **changes: str) -> str:
    parts = {"v": "2", "tid": site.measurement_id, "cid": "1.2", "en": "page_view"} | changes
    return f"{WEB}?" + "&".join(f"{name}={value}" for name, value in parts.items()) + query


def _server(site: Site, secret: str | None = None) -> str:
    return f"{SERVER}?measurement_id={site.measurement_id}&api_secret={secret or site.api_secret}"


def _event(**changes: object) -> bytes:
    return json.dumps({"client_id": "1.2", "events": [{"name": "bad"}]} | changes).encode()


def broken(site: Site) -> list[Bad]:
    """Requests that are wrong in themselves."""
    many = b"\r\n".join(b"en=line&epn.number=%d" % number for number in range(1_000))
    now_us = time.time_ns() // 1_000
    year_us = 365 * 86_400 * 1_000_000
    return [
        Bad("unknown property", "/g/collect?v=2&tid=G-NOBODY0000&cid=1.2&en=page_view",
            reason="unknown_measurement_id"),
        Bad("no property", "/g/collect?v=2&cid=1.2&en=page_view",
            reason="missing_measurement_id"),
        Bad("no client", f"/g/collect?v=2&tid={site.measurement_id}&en=page_view"),
        Bad("no event", f"/g/collect?v=2&tid={site.measurement_id}&cid=1.2"),
        Bad("nothing", "/g/collect", reason="missing_measurement_id"),
        Bad("wrong secret", _server(site, SECRETS[0]), _event(), tuple(JSON.items()),
            reason="invalid_api_secret"),
        Bad("no secret", f"{SERVER}?measurement_id={site.measurement_id}", _event(),
            reason="missing_api_secret"),
        Bad("broken percent-encoding", _web(site, dl="https%3A%2F%2Fx%ZZ%2", dt="%")),
        Bad("invalid UTF-8 in the query", _web(site, dt="%ff%fe%80")),
        Bad("raw bytes in the body", _web(site), b"en=\xff\xfe\x80&ep.a=\xc3\x28"),
        Bad("NUL in the query", _web(site, dt="a%00b", cid="1%002")),
        Bad("NUL in the body", _web(site), b"en=a\x00b\r\n\x00"),
        Bad("NUL in JSON", _server(site),
            b'{"client_id":"1\\u0000","events":[{"name":"\\u0000"}]}'),
        Bad("a lone surrogate in JSON", _server(site),
            b'{"client_id":"1.2","events":[{"name":"\\ud800"}]}'),
        Bad("ten megabytes", _web(site), b"x" * 10_000_000, statuses=(413,),
            reason="body_too_large"),
        Bad("a thousand lines", _web(site), many),
        Bad("a bomb", _server(site), gzip.compress(b"0" * 20_000_000),
            (("Content-Encoding", "gzip"),), statuses=(413,), reason="body_too_large"),
        Bad("no JSON", _server(site), b"{"),
        Bad("nothing at all in JSON", _server(site), b"null"),
        Bad("a list in JSON", _server(site), b"[[[]]]"),
        Bad("deep JSON", _server(site), b"[" * 100_000),
        Bad("events are a number", _server(site), _event(events=5)),
        Bad("events hold numbers", _server(site), _event(events=[1, None, [], "x"])),
        Bad("an event without a name", _server(site), _event(events=[{}])),
        Bad("params are a list", _server(site), _event(events=[{"name": "a", "params": [1]}])),
        Bad("a client that is an object", _server(site), _event(client_id={"a": 1})),
        Bad("numbers out of bounds", _server(site),
            b'{"client_id":"1.2","events":[{"name":"purchase","params":{"value":1e999}}]}'),
        Bad("more numbers out of bounds",
            _web(site, **{"en": "purchase", "epn.value": "9" * 400, "_et": "-5"})),
        Bad("a clock far behind", _server(site), _event(timestamp_micros=now_us - year_us)),
        Bad("a clock far ahead", _server(site), _event(timestamp_micros=now_us + year_us)),
        Bad("a clock out of this world", _server(site), _event(timestamp_micros=10**30)),
        Bad("a clock that is text", _server(site), _event(timestamp_micros="soon")),
        Bad("another method", "/g/collect", method="DELETE", statuses=(405,)),
        Bad("nobody's path", "/nowhere", statuses=(404, 405)),
    ]  # fmt: skip


def planting(site: Site) -> list[Bad]:
    """Requests with an address or a secret at every place that is made for one."""
    four, six, long_six = ADDRESSES
    secret = iter(SECRETS[1:])
    mp = f"{SERVER}?measurement_id={site.measurement_id}"
    names = [
        ("query", _web(site, f"&_uip={four}&uip={quote(six, safe='')}&ip_override={long_six}")),
        ("capitals", _web(site, f"&_UIP={four}&API_SECRET={next(secret)}")),
        (
            "encoded names",
            _web(site, f"&%5Fuip={four}&%75%69%70={four}&api%5fsecret={next(secret)}"),
        ),
        ("event parameters", _web(site, f"&ep.uip={four}&up.ip_override={six}")),
        ("other protocols", _web(site, f"&cip={four}&token_auth={next(secret)}")),
        ("twice", f"{mp}&api_secret={next(secret)}&api_secret={next(secret)}"),
    ]
    forwarded = tuple(
        (name, value)
        for name in ("X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP",
                     "X-Client-IP", "X-Cluster-Client-IP")
        for value in ADDRESSES
    )  # fmt: skip
    lines = f"en=a&_uip={four}\r\nen=b&uip={six}\r\nen=c&api_secret={next(secret)}\n"
    escaped = "".join(f"\\u{ord(char):04x}" for char in "ip_override")
    text = json.dumps(
        {"client_id": "1.2", "api_secret": next(secret), "ip_override": four, "events": [
            {"name": "a", "params": {"user_ip_address": six, "_uip": [four, {"x": long_six}]}}]}
    )  # fmt: skip
    bearer = next(secret)
    return [
        *(Bad(name, target) for name, target in names),
        Bad("lines", _web(site), lines.encode()),
        Bad("JSON", mp, text.encode()),
        Bad("escaped names in JSON", mp, f'{{"client_id":"1","{escaped}":"{four}"}}'.encode()),
        Bad("JSON that does not end", mp,
            f'{{"ip_override":"{four}","api_secret":"{bearer}'.encode()),
        Bad("packed", mp, gzip.compress(text.encode()), (("Content-Encoding", "gzip"),)),
        Bad("packed oddly", mp, gzip.compress(text.encode()), (("Content-Encoding", "br"),)),
        Bad("no UTF-8", _web(site), b"en=\xff&_uip=" + four.encode()),
        Bad("forwarded", _web(site), headers=forwarded),
        Bad("RFC 7239", _web(site), headers=(("Forwarded", f'for={four};for="[{six}]"'),)),
        Bad("credentials", _web(site), headers=(
            ("Authorization", f"Bearer {bearer}"), ("Cookie", f"session={bearer}"))),
    ]  # fmt: skip


def personal(site: Site) -> list[Bad]:
    """Requests with an address or a number of a person wherever a page may put one."""
    once, twice = quote(MAIL, safe=""), quote(quote(MAIL, safe=""), safe="")
    page = quote(f"https://shop.example/thanks?mail={once}&phone={quote(PHONES[3])}", safe="")
    numbers = [*PHONES[:3], *CARDS]
    text = json.dumps(
        {
            "client_id": MAIL,
            "user_id": PHONES[0],
            "user_properties": {"phone": {"value": PHONES[3]}},
            "events": [{"name": "a", "params": {
                "mail": MAIL, "all": ", ".join(numbers), "card": int(CARDS[0]),
                "page_location": f"https://x/?m={once}",
            }}],
        }
    )  # fmt: skip
    lines = f"en=a&ep.mail={once}\r\nen=b&ep.tel={quote(PHONES[3])}\r\nen=c&dl={page}\r\n"
    latin = b"en=\xff&ep.mail=" + MAIL.encode()
    universal = f"/collect?v=1&tid={site.measurement_id}&cid={once}&t=pageview&dt={twice}&dl={page}"
    pixel = f"/p.gif?tid={site.measurement_id}&cid=7.7"
    return [
        Bad("in a page's address", _web(site, f"&dl={page}&dt={once}&dr={page}")),
        *(Bad("a number", _web(site, f"&ep.note=it+is+{quote(one)}+today")) for one in numbers),
        Bad("in a path", _web(site, f"&dl={quote(f'https://shop.example/by/{MAIL}', safe='')}")),
        Bad("ids", _web(site, f"&uid={once}", cid=once)),
        Bad("twice encoded", _web(site, f"&ep.a={twice}&up.b={quote(twice, safe='')}")),
        Bad("in lines", _web(site), lines.encode()),
        Bad("in JSON", _server(site), text.encode()),
        Bad("escaped in JSON", _server(site), text.replace("@", "\\u0040").encode()),
        Bad("packed", _server(site), gzip.compress(text.encode()), (("Content-Encoding", "gzip"),)),
        Bad("no UTF-8", _web(site), latin),
        Bad("no JSON", _server(site), b"{" + MAIL.encode()),
        Bad("of old", universal, statuses=(200,)),
        Bad("by a pixel", f"{pixel}&dt={once}", statuses=(200,), method="GET",
            headers=(("Referer", f"https://shop.example/?mail={MAIL}"), ("Origin", f"https://{MAIL}"))),
        Bad("to nobody", f"/g/collect?v=2&tid=G-NOBODY0000&cid={once}&en={once}",
            reason="unknown_measurement_id"),
    ]  # fmt: skip


def send(stack: Stack, bad: Bad) -> http.client.HTTPResponse:
    """The answer to a request; a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.collector_port, timeout=20)
    try:
        connection.putrequest(bad.method, bad.target, skip_accept_encoding=True)
        for name, value in (("Content-Length", str(len(bad.body))), *bad.headers):
            connection.putheader(name, value)
        connection.endheaders()
        with suppress(BrokenPipeError, ConnectionResetError):  # answered before all was read
            connection.send(bad.body)
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


@pytest.fixture(scope="module", name="stack")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("bad")
    options = ("--flush-seconds=1", "--trusted-proxy=127.0.0.1/32")
    with running(folder / "stack", *options) as stack:
        yield stack


@pytest.fixture(scope="module", name="site")
def _site(stack: Stack) -> Site:
    site = stack.create_property("Besieged")
    time.sleep(2)  # until the collector has looked at the rules again
    return site


def test_every_bad_request_is_answered_within_the_protocol(stack: Stack, site: Site) -> None:
    wrong = []
    for bad in (*broken(site), *planting(site), *personal(site)):
        response = send(stack, bad)
        reason = response.getheader("X-Tallymark-Reason", "")
        if response.status not in bad.statuses or (bad.reason and reason != bad.reason):
            wrong.append(f"{bad.name}: {response.status} {reason!r}")
    assert wrong == []
    counted = _views(stack, site)

    assert send(stack, Bad("good", _web(site, cid="9.9"))).status == 204
    eventually(
        lambda: _views(stack, site) > counted, within_seconds=30, what="a good hit afterwards"
    )
    assert "Traceback" not in stack.log()
    restarts = {name: service["restarts"] for name, service in stack.services().items()}
    assert set(restarts.values()) == {0}, restarts


def test_what_cannot_be_counted_becomes_a_dead_letter_with_its_reason(
    stack: Stack, site: Site
) -> None:
    files = str(stack.data / "archive" / "dead_letters" / "**" / "*.parquet")
    letters = "SELECT reason, count(*) FROM read_parquet(?) GROUP BY reason"
    reasons = dict(duckdb.execute(letters, [files]).fetchall())
    assert reasons.keys() == {
        "invalid_secret", "missing_client_id", "missing_event_name", "missing_measurement_id",
        "no_json", "not_utf8", "unknown_measurement_id", "wrong_shape",
    }  # fmt: skip
    assert reasons["unknown_measurement_id"] == 2


def test_the_shipper_says_how_much_of_whom_it_took_out(stack: Stack) -> None:
    redacted = stack.note("shipper")["redacted"]
    assert set(redacted) == {"mail", "phone", "card"}
    assert min(redacted.values()) >= 5, redacted
    assert f"redacted {redacted['mail']} mail" in stack.run("status").stdout


def test_what_persons_have_sent_is_counted_without_them(stack: Stack, site: Site) -> None:
    pages = ask(stack, site, ("pagePath",), ("screenPageViews",))
    assert pages[("/by/(mail)",)] == (1.0,)


def test_nothing_that_was_planted_is_written_anywhere(stack: Stack, site: Site) -> None:
    eventually(
        lambda: any((stack.data / "archive").glob("raw/**/*.parquet")),
        within_seconds=120,
        what="the raw archive",
    )
    stack.stop()
    planted = [*ADDRESSES, *SECRETS, site.api_secret, site.read_key, PERSON, *PHONES, *CARDS]

    assert places_of(planted, stack.folder) == []
    assert places_of([site.measurement_id], stack.folder), "the search finds what is there"


def _views(stack: Stack, site: Site) -> float:
    return ask(stack, site, (), ("screenPageViews",)).get((), (0.0,))[0]
