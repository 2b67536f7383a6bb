"""The pixel: images that are hits."""

from typing import Any

import pytest

from tests.tallymark.recorded import SHOP, frame, understood, web

VISITOR = "visitor.0123456789abcdef"


@pytest.mark.parametrize(
    ("query", "referer", "expected"),
    [
        ("", "", {"event_name": "page_view", "client_id": VISITOR, "path": ""}),
        ("", "https://shop.example/a?x=1&y=50%25+",
         {"host": "shop.example", "path": "/a", "page_query": "x=1&y=50%25+"}),
        ("&dl=https://shop.example/b", "https://shop.example/a", {"path": "/b"}),
        ("&en=mail_opened&cid=reader-7&cs=letter&cm=email&cn=spring&dt=Spring",
         "", {"event_name": "mail_opened", "client_id": "reader-7", "source": "letter",
              "medium": "email", "campaign": "spring", "title": "Spring", "is_page_view": False}),
        ("&ep.list=spring", "",
         {"params": [{"key": "list", "text": "spring", "micros": None}]}),
    ],
)  # fmt: skip
def test_an_image_is_a_hit(query: str, referer: str, expected: dict[str, Any]) -> None:
    request = web(f"tid={SHOP}{query}", path="/p.gif", method="GET", referer=referer)

    decoded = understood(frame(request))

    assert decoded.dead_letters.is_empty()
    hit = decoded.hits.row(0, named=True)
    assert {name: hit[name] for name in expected} == expected
