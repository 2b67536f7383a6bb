"""Redaction: no address or number that was meant stays, and nothing else is touched."""

import base64
import json
import re
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallymark.personal_data import PRESETS, redacted, without_texts
from tallymark.personal_data.cards import are_card_numbers, have_check_digit
from tallymark.protocols import decode
from tests.strategies import examples
from tests.tallymark.recorded import frame, server, web

CARD = "4111111111111111"
ENCODINGS = {
    "plain": lambda text: text,
    "once": lambda text: quote(text, safe=""),
    "once, spaces as plus": quote_plus,
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "twice, in small letters": lambda text: quote(quote(text, safe=""), safe="").lower(),
    "three times": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
}
JSON_ENCODINGS = ENCODINGS | {
    "escaped": lambda text: "".join(
        char if char.isalnum() else f"\\u{ord(char):04x}" for char in text
    ),
    "wholly escaped, but for digits": lambda text: "".join(
        char if char.isdigit() else f"\\u{ord(char):04X}" for char in text
    ),
}
FOUND = {
    "john.doe@example.com": "(mail)",
    "j@ex.co": "(mail)",
    "o'neil_1@mail-1.example.co.uk": "(mail)",
    "jörg@exämple.de": "(mail)",
    "+49 176 1234567": "(phone)",
    "+49 (0)30/1234-567": "(phone)",
    "+1.212.555.1234": "(phone)",
    "0049 30 1234567": "(phone)",
    "0012125551234": "(phone)",
    CARD: "(card)",
    "4111 1111 1111 1111": "(card)",
    "5555-5555-5555-4444": "(card)",
    "3782 822463 10005": "(card)",
    "4111 1111 1111 1111 123": "(card)",
    "6200000000000000000": "(card)",
}


def query_of(text: str, kinds: tuple[str, ...] = PRESETS, **more: str) -> str:
    return redacted(frame(web(text, **more)), kinds).requests["query"].item()


def body_of(text: str) -> str:
    return redacted(frame(server(text))).requests["body"].item()


WRITTEN = [
    (text, encoding)
    for text in FOUND
    for encoding in ENCODINGS
    # The collector encodes what is no ASCII, and a plus in a query is a space.
    if encoding != "plain" or (text.isascii() and not text.startswith("+"))
]


@pytest.mark.parametrize(("text", "encoding"), WRITTEN)
def test_what_is_in_a_parameter_is_replaced_and_the_pairs_around_it_stay(text, encoding):
    written = ENCODINGS[encoding](text)
    for template in ("v=2&ep.note={}&en=a", "{}", "en=a&up.x={}", "a=1&{}=b"):
        assert query_of(template.format(written)) == template.format(FOUND[text])


@pytest.mark.parametrize("encoding", JSON_ENCODINGS)
@pytest.mark.parametrize("text", FOUND)
@pytest.mark.parametrize("template", ["{}", "Write to {} today", "a\\n{}\\t", '{}, \\"{}\\"'])
def test_what_is_in_json_is_replaced_and_stays_json(text, encoding, template):
    body = '{{"client_id": "1.2", "events":[{{"name":"a", "params":{{"note":"{}"}} }}]}}'
    written = JSON_ENCODINGS[encoding](text)
    found = body_of(body.format(template.replace("{}", written)))
    assert found == body.format(template.replace("{}", FOUND[text]))
    json.loads(found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # nested addresses
        ("dl=https%3A%2F%2Fx.de%2F%3Fmail%3Dj%2540ex.com%26a%3D1%23top",
         "dl=https%3A%2F%2Fx.de%2F%3Fmail%3D(mail)%26a%3D1%23top"),
        ("dl=https://x.de/?mail=j@ex.com", "dl=https://x.de/?mail=(mail)"),
        ("dl=https%3A%2F%2Fx%2F%3Fphone%3D0176%2520123456%26q%3D1",
         "dl=https%3A%2F%2Fx%2F%3Fphone%3D(phone)%26q%3D1"),
        # a plus is part of a name if it is written as deep as the @
        ("q=write+to+j%40ex.com+now", "q=write+to+(mail)+now"),
        ("q=j%2Btag%40ex.com", "q=(mail)"),
        ("dl=%3Fq%3Dwrite%2Bj%2540ex.com%2Bnow", "dl=%3Fq%3Dwrite%2B(mail)%2Bnow"),
        ("dl=%3Fq%3Dj%252Btag%2540ex.com", "dl=%3Fq%3D(mail)"),
        ("q=j+tag@ex.com", "q=(mail)"),
        ("q=a%40b.cc%2Cd%40e.ff%3B%20g%40h.ii.", "q=(mail)%2C(mail)%3B%20(mail)."),
        ("q=%3Cj%40ex.com%3E", "q=%3C(mail)%3E"),
        ("q=mailto%3Aj%40ex.com%3Fsubject%3Da", "q=mailto%3A(mail)%3Fsubject%3Da"),
        # phones
        ("q=+4930123456789", "q=(phone)"),
        ("q=Call+%2B49+30+123456+now", "q=Call+(phone)+now"),
        ("el=tel%3A030123456", "el=tel%3A(phone)"),
        ("ep.phone=0176+1234567&a=1", "ep.phone=(phone)&a=1"),
        ("up.mobile_number=01761234567", "up.mobile_number=(phone)"),
        ("customer%5Btel%5D=030-123456", "customer%5Btel%5D=(phone)"),
        ("userPhone=030123456", "userPhone=(phone)"),
        ("msisdn=491761234567", "msisdn=(phone)"),
        ("q=%2B49+30+123456%2C+%2B49+30+654321", "q=(phone)%2C+(phone)"),
        # items
        ("pr1=idsku1~nmj%40ex.com~pr12.5", "pr1=idsku1~(mail)~pr12.5"),
        # ids
        ("cid=j%40ex.com&en=a", "cid=&en=a"),
        ("uid=J.Doe%2540ex.com", "uid="),
        ("user_id=%2B4930123456&client_id=x-j%40ex.com-y&a=1", "user_id=&client_id=&a=1"),
    ],
)  # fmt: skip
def test_places_and_spellings(before, after):
    assert query_of(before) == after


@pytest.mark.parametrize(
    "query",
    [
        f"v=2&_p={CARD}&sid={CARD}&cid={CARD}.1700000000&uid={CARD}&_tk=4111111111111.{CARD}",
        f"z={CARD}&ti={CARD}&ep.transaction_id={CARD}&ep.item_id={CARD}&epn.value={CARD}",
        f"pr1=id{CARD}~nmShirt~pr{CARD}&il1pi1id={CARD}a",
        f"dl=https%3A%2F%2Fx%2Fp%2Fsku-{CARD}%3Fsession_id%3D{CARD}%26gclid%3D{CARD}",
        "ep.note=4111111111111112&ep.other=1111111111111111&q=4006381333931&f=4111111111111111.5",
        "tid=G-ABCDE12345&gtm=45je4b0v9&gcd=13l3l3l1&_ta=0049176123456&ti=0049176123456",
        "cid=0049176123456.1700000000&sid=1700491761234567&ts=1700000000123",
        "dl=https%3A%2F%2Fx%2Fimg%2Flogo%402x.png&el=photo@1.5x.webp&ep.a=%40home&ep.b=a%40b",
        "dl=https%3A%2F%2Fmedium.com%2F%40john.doe%2Fpost&ep.v=lodash%404.17.21&q=%40maps.x%2C1",
        "dt=Artikel+12345678&q=Room+12+%26+13456789&dl=%3Fq%3DArtikel%2B12345678%2B12345678",
        "dt=12%3A00+12345678+12345&ep.price=1%2C000%2C123%2C456%2C789&hotel=12345678",
        "ep.uuid=0049a176-1234-0049-1761-001234567890&q=a-0049176123456&iban_like=DE0049176123456",
        "dl=https%3A%2F%2Fx%2F%3Ftel%3D&ep.phone=none&ep.tel=12&mobile=1&up.phone=true",
        "ep.sum=%2B1234567&ep.diff=%2B12%2C345%2C678&e=1e%2B12345678",
        "dt=%&dl=https%3A%2F%2Fx%ZZ%2&x=%25&y=%2540&z=%4",
        "",
    ],
)
def test_what_only_looks_like_it_is_not_touched(query):
    requests = frame(web(query), web("v=2", query), web("v=2", referer=f"https://x/?{query}"))
    done = redacted(requests)
    assert done.requests.equals(requests)
    assert set(done.values.values()) == {0}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"client_id":"j@ex.com","user_id":"+49 30 123456","events":[]}',
         '{"client_id":"","user_id":"","events":[]}'),
        ('{"user_properties":{"phone":{"value":"030 123456"},"age":{"value":"030123"}}}',
         '{"user_properties":{"phone":{"value":"(phone)"},"age":{"value":"030123"}}}'),
        ('{"phone" : 4930123456 ,"a":1}', '{"phone" : "(phone)" ,"a":1}'),
        ('{"phone":4930123456.5}', '{"phone":4930123456.5}'),
        (f'{{"a":{CARD},"b":[{CARD}, {CARD}]}}', '{"a":"(card)","b":["(card)", "(card)"]}'),
        (f'{{"a":-{CARD},"b":{CARD}.5,"c":{CARD}e2}}',
         f'{{"a":-{CARD},"b":{CARD}.5,"c":{CARD}e2}}'),
        (f'{{"transaction_id":"{CARD}","item_id":{CARD}}}',
         f'{{"transaction_id":"{CARD}","item_id":{CARD}}}'),
        ('{"j@ex.com":"\\\\u0040 a\\\\njohn\\u0040ex.com"}', '{"(mail)":"\\\\u0040 a\\\\(mail)"}'),
        ('{"u":"https:\\/\\/x\\/?m=j%40ex.com"}', '{"u":"https:\\/\\/x\\/?m=(mail)"}'),
        ('{"a":"j@ex.com', '{"a":"(mail)'),
        ("{j@ex.com", "{(mail)"),
        ('{"a":"1e+12345678","b":1e+12345678}', '{"a":"1e+12345678","b":1e+12345678}'),
    ],
)  # fmt: skip
def test_names_and_numbers_of_json(before, after):
    assert body_of(before) == after


def test_lines_of_a_batch_keep_their_ends_and_their_number():
    body = "en=a&ep.m=j%40ex.com\r\nen=b\r\n\r\nv=1&cid=j%40ex.com&t=event\n"
    done = redacted(frame(web("tid=G-SHOP&cid=1.2", body)))
    expected = "en=a&ep.m=(mail)\r\nen=b\r\n\r\nv=1&cid=&t=event\n"
    assert done.requests["body"].item() == expected
    assert done.values == {"mail": 2, "phone": 0, "card": 0}


def test_bytes_that_are_no_text_are_gone_over_like_text():
    raw = b"en=\xff&ep.m=j@ex.com&x=\x00"
    body = base64.b64encode(raw).decode()
    clean = base64.b64encode(b"en=\xff").decode()
    requests = frame(
        web("v=2", body, body_encoding="base64"), web("v=2", clean, body_encoding="base64")
    )
    bodies = redacted(requests).requests["body"].to_list()
    assert base64.b64decode(bodies[0]) == b"en=\xff&ep.m=(mail)&x=\x00"
    assert bodies[1] == clean


def test_only_what_is_chosen_is_looked_for():
    query = f"a=j%40ex.com&b=%2B4930123456&c={CARD}"
    assert query_of(query, ("card",)) == "a=j%40ex.com&b=%2B4930123456&c=(card)"
    assert query_of(query, ("mail", "phone")) == f"a=(mail)&b=(phone)&c={CARD}"
    assert query_of(query, ()) == query


def test_a_visitor_whose_id_was_an_address_is_the_visitor_of_the_day():
    requests = frame(
        web("v=2&tid=G-SHOP&cid=j%40ex.com&en=page_view", visitor_hash="aa"),
        web("v=2&tid=G-SHOP&cid=k%40ex.com&en=page_view", visitor_hash="bb"),
    )
    hits = decode(redacted(requests).requests).hits
    assert hits["client_id"].to_list() == ["visitor.aa", "visitor.bb"]


def test_the_origin_is_gone_over_too():
    requests = frame(web("v=2", origin="https://j@ex.com"))
    assert redacted(requests).requests["origin"].item() == "https://(mail)"


def test_requests_without_texts_say_nothing_that_a_page_said():
    request = web("cid=1&a=2", "body", referer="https://r", origin="https://o")
    row = without_texts(frame(request)).row(0, named=True)
    assert (row["query"], row["body"], row["referer"], row["origin"]) == ("", "", "", "")
    assert row["visitor_hash"] == request["visitor_hash"]


@pytest.mark.parametrize(
    ("digits", "is_one"),
    [
        (CARD, True), ("5555555555554444", True), ("2223003122003222", True),
        ("378282246310005", True), ("30569309025904", True), ("6011111111111117", True),
        ("3530111333300000", True), ("6200000000000005", True), ("6759649826438453", True),
        ("2200123456789019", True), ("4111111111111112", False), ("1111111111111111", False),
        ("7992739871300009", False), ("55555555555544", False), ("411111111111111", False),
    ],
)  # fmt: skip
def test_card_numbers_have_an_issuer_a_length_and_a_check_digit(digits, is_one):
    assert are_card_numbers(pl.Series([digits])).to_list() == [is_one]


@examples(200)
@given(st.lists(st.text("0123456789", min_size=1, max_size=19), min_size=1, max_size=5))
def test_the_check_digit_is_that_of_the_plain_program(numbers):
    def luhn(number: str) -> bool:
        doubled = [int(d) * 2 if place % 2 else int(d) for place, d in enumerate(number[::-1])]
        return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0

    assert have_check_digit(pl.Series(numbers)).to_list() == [luhn(one) for one in numbers]


NAMES = st.text("abcxyzABC019._'+-", min_size=1, max_size=12)
LABELS = st.text("abcxyz019-", min_size=1, max_size=8)
ADDRESSES = st.builds(
    lambda name, labels, top: f"{name}@{'.'.join(labels)}.{top}",
    NAMES, st.lists(LABELS, min_size=1, max_size=3), st.sampled_from(["com", "de", "museum"]),
)  # fmt: skip
TEXTS = st.text('ab@.+ &=/?%:()0149-_"\\\n', max_size=12)
KEYS = st.sampled_from(["ep.note", "dl", "uid", "cid", "q", "up.mail", "_p", "dt"])


@examples(300)
@given(TEXTS, ADDRESSES, TEXTS, KEYS, st.sampled_from(sorted(set(ENCODINGS) - {"plain"})))
def test_no_address_is_left_in_a_query_however_it_is_encoded(before, address, after, key, encoding):
    written = ENCODINGS[encoding](f"{before} {address} {after}")
    found = query_of(f"v=2&{key}={written}&en=page_view&ep.last=1")
    text = found
    for _ in range(4):
        assert address.lower() not in text.lower()
        text = unquote_plus(text)
    names = [name for name, _ in parse_qsl(found, keep_blank_values=True)]
    assert names == ["v", key, "en", "ep.last"]
    assert found.startswith("v=2&")
    assert found.endswith("&en=page_view&ep.last=1")


@examples(300)
@given(TEXTS, ADDRESSES, TEXTS, st.booleans(), st.sampled_from(sorted(ENCODINGS)))
def test_no_address_is_left_in_json_and_json_stays_json(before, address, after, escapes, encoding):
    text = f"{before} {ENCODINGS[encoding](address)} {after}"
    body = json.dumps({"client_id": "1", "a": text, "n": [1.5e300, -0, None], "z": "last"})
    if escapes:
        body = body.replace("@", "\\u0040").replace("/", "\\/")
    found = json.loads(body_of(body))
    assert found.keys() == {"client_id", "a", "n", "z"}
    assert (found["client_id"], found["n"], found["z"]) == ("1", [1.5e300, 0, None], "last")
    assert address.lower() not in unquote_plus(unquote_plus(found["a"])).lower()


ANYTHING = st.one_of(
    st.text("a1@.+-_' &=/?%25402B:()\"\\u0{}[],\r\n€", max_size=60),
    st.lists(
        st.sampled_from(
            ["j@ex.com", "%40", "%2540", "%2B", "+", "0049", "1761234567", CARD, "4111 1111 ", "&",
             "=", "phone=", "tel:", "%20", "%2520", "cid=", "uid=", '"', "\\", "\\u0040", ":", "{",
             "}", "a", ".", "-", ",", "~", "%3D", "\r\n", '"phone":', "@ex.com", "x", "123"]
        ),
        max_size=14,
    ).map("".join),
)  # fmt: skip


@examples(1_000)
@given(ANYTHING, st.sampled_from(["", "{", '{"a":"', "v=2&"]))
@example("+4917612345678.j@ex.com", "")
def test_what_was_gone_over_is_not_changed_again(text, before):
    requests = frame(web(before + text, before + text, referer=text, origin=text))
    once = redacted(requests)
    assert redacted(once.requests).requests.equals(once.requests)


DOCUMENTS = st.recursive(
    st.one_of(ANYTHING, st.none(), st.booleans(), st.integers(), st.just(int(CARD)),
              st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["phone", "client_id", "user_id", "a", "value"]), inner),
    ),
    max_leaves=8,
)  # fmt: skip


def shape_of(document: object) -> object:
    """Lists and objects as they are nested, without what they hold."""
    if isinstance(document, dict):
        return {key: shape_of(value) for key, value in document.items()}
    return [shape_of(value) for value in document] if isinstance(document, list) else None


@examples(500)
@given(st.dictionaries(st.sampled_from(["params", "tel", "user_id"]), DOCUMENTS), st.booleans())
def test_json_stays_json_of_the_same_shape(document, is_ascii):
    body = json.dumps(document, ensure_ascii=is_ascii)
    found = json.loads(body_of(body))
    assert shape_of(found) == shape_of(document)


@examples(500)
@given(ANYTHING.filter(lambda text: not text.lstrip().startswith(("{", "["))))
def test_pairs_and_lines_stay_in_their_places(text):
    def places(written: str) -> list[list[str]]:
        return [
            [pair.partition("=")[1] for pair in line.split("&")] for line in written.split("\n")
        ]

    row = redacted(frame(web(text, text))).requests.row(0, named=True)
    assert places(row["query"]) == places(text)
    assert places(row["body"]) == places(text)


CLEAN = st.text("abcdefghijklmnopqrstuvwxyzABC /?&=.,;:%_~()\"'{}[]\\\n", max_size=80)


@examples(500)
@given(CLEAN, CLEAN)
def test_texts_without_digits_and_without_an_at_are_left_as_they_are(query, body):
    requests = frame(web(query, body, referer=body, origin=query))
    assert redacted(requests).requests.equals(requests)


PHONES = st.builds(
    lambda code, groups, gap: "+" + gap.join([code, *groups]),
    st.sampled_from(["1", "49", "351"]),
    st.lists(st.text("0123456789", min_size=4, max_size=5), min_size=2, max_size=2),
    st.sampled_from(["", " ", "-", ".", "/", " - "]),
)


@examples(200)
@given(PHONES, st.sampled_from(sorted(set(ENCODINGS) - {"plain"})))
def test_no_phone_number_is_left_however_it_is_written(phone, encoding):
    assert query_of(f"ep.a=Call+{ENCODINGS[encoding](phone)}&b=1") == "ep.a=Call+(phone)&b=1"
    spoken = json.loads(body_of(json.dumps({"a": f"Call {phone}, please"})))
    assert spoken == {"a": "Call (phone), please"}


@pytest.mark.parametrize("attack", [
    "4111+" * 40_000, "%2B49+" * 40_000, "a@" * 80_000, "a." * 100_000 + "@", "a%40" * 60_000,
    "phone=" * 40_000 + "1", "%25" * 80_000 + "40", "%C3%BC" * 40_000 + "@", "+1" * 80_000,
], ids=lambda text: text[:8])  # fmt: skip
@pytest.mark.timeout(20)
def test_long_texts_take_no_longer_for_what_is_in_them(attack):
    requests = frame(web("v=2", attack), server('{"a":"' + attack + '"}'))
    assert redacted(requests).requests.height == 2


def test_every_kind_is_counted():
    query = f"a=j%40ex.com&b=k%40ex.com&c=%2B4930123456&d={CARD}&cid=j%40ex.com"
    assert redacted(frame(web(query))).values == {"mail": 3, "phone": 1, "card": 1}


def test_marks_are_what_they_are_once_decoded():
    assert not re.search("[^A-Za-z()]", "".join(FOUND.values()))
    assert unquote_plus("(mail)(phone)(card)") == "(mail)(phone)(card)"
