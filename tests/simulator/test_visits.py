from collections import Counter
from itertools import islice
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.simulator.records import script_row
from cli.simulator.requests import requests_of
from cli.simulator.schedule import schedule
from cli.simulator.visits import Habits, Site, visits

SITE = Site(measurement_id="G-AAAAAAAAAA")
SERVED_SITE = Site(measurement_id="G-BBBBBBBBBB", api_secret="0f" * 16)
STARTED_AT = 1_760_000_000_000_000


def drawn(count, seed=1, sites=(SITE,), **habits):
    return list(islice(visits(seed, list(sites), Habits(**habits)), count))


def planned(script):
    """Every request of a script, as it would be sent, with the rows of the script."""
    rows = []
    dues = schedule(
        script, 50.0, STARTED_AT, lambda visit, first: rows.append(script_row(visit, first))
    )
    return list(dues), rows


def sent_hits(request):
    """(event name, client id, engagement) of each hit in a request, decoded for itself."""
    url = urlsplit(request.target)
    if url.path == "/mp/collect":
        document = orjson.loads(request.body)
        return [
            (
                event["name"],
                document["client_id"],
                event["params"].get("engagement_time_msec", 0),
            )
            for event in document["events"]
        ]
    lines = request.body.decode().split("\r\n") if request.body else [""]
    merged = [parse_qs(url.query) | parse_qs(line) for line in lines]
    return [(hit["en"][0], hit["cid"][0], int(hit.get("_et", ["0"])[0])) for hit in merged]


def test_the_same_seed_gives_the_same_script_and_the_same_requests():
    sites = (SITE, SERVED_SITE)
    first, second = (planned(drawn(300, seed=7, sites=sites)) for _ in range(2))
    assert first == second


def test_another_seed_gives_another_script():
    assert planned(drawn(20, seed=1))[1] != planned(drawn(20, seed=2))[1]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 60),
    returning=st.floats(0, 1),
    history=st.sampled_from([0.0, 48.0]),
)
def test_every_hit_of_the_script_is_in_exactly_one_request(seed, count, returning, history):
    script = drawn(
        count, seed, (SITE, SERVED_SITE), returning_share=returning, history_hours=history
    )
    dues, rows = planned(script)
    sent = Counter((due.request.number, *hit) for due in dues for hit in sent_hits(due.request))
    meant = Counter(
        (hit["request"], hit["event_name"], row["client_id"], hit["engagement_ms"])
        for row in rows
        for hit in row["hits"]
    )
    assert sent == meant


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60))
def test_requests_are_numbered_without_holes_and_a_visit_stays_in_order(seed, count):
    dues, rows = planned(drawn(count, seed))
    assert sorted(due.request.number for due in dues) == list(range(1, len(dues) + 1))
    for row in rows:
        numbers = [due.request.number for due in dues if due.request.visit == row["visit"]]
        assert numbers == sorted(numbers)


def test_hits_are_sent_at_an_even_rate():
    dues, _ = planned(drawn(100))
    sent = 0
    for due in dues:
        assert due.seconds == pytest.approx(sent / 50.0)
        sent += len(sent_hits(due.request))


def test_sites_are_visited_by_weight():
    sites = (
        Site(measurement_id="G-AAAAAAAAAA", weight=3),
        Site(measurement_id="G-BBBBBBBBBB", weight=1),
    )
    counts = Counter(visit.site.measurement_id for visit in drawn(2_000, sites=sites))
    assert counts["G-AAAAAAAAAA"] / 2_000 == pytest.approx(0.75, abs=0.05)


def test_a_client_is_new_once_and_only_its_first_hit_says_so():
    seen = set()
    for visit in drawn(500, returning_share=0.5):
        flags = [hit.first_visit for hit in visit.hits]
        is_new = visit.client.client_id not in seen
        assert flags == [is_new] + [False] * (len(flags) - 1)
        seen.add(visit.client.client_id)
    assert len(seen) < 400


def test_without_returning_visitors_every_visit_is_a_new_client():
    clients = {visit.client.client_id for visit in drawn(500, returning_share=0.0)}
    assert len(clients) == 500


def test_a_site_without_a_secret_gets_no_server_hits():
    assert {hit.protocol for visit in drawn(500) for hit in visit.hits} == {"web"}


def test_a_site_with_a_secret_gets_server_hits_with_and_without_a_session():
    script = drawn(500, sites=(SERVED_SITE,))
    server = [hit for visit in script for hit in visit.hits if hit.protocol == "server"]
    assert {hit.names_session for hit in server} == {True, False}
    documents = [
        orjson.loads(due.request.body)
        for due in planned(script)[0]
        if due.request.target.startswith("/mp/")
    ]
    sessions = {"session_id" in event["params"] for doc in documents for event in doc["events"]}
    assert sessions == {True, False}


def test_history_is_dated_back_within_its_hours_and_in_order():
    script = drawn(200, sites=(SERVED_SITE,), history_hours=48)
    oldest = STARTED_AT - 48 * 3_600_000_000
    for visit in script:
        at = [
            orjson.loads(request.body)["timestamp_micros"]
            for request in requests_of(visit, 1, STARTED_AT)
        ]
        assert oldest <= at[0]
        assert at == sorted(at)


def test_landing_pages_carry_the_campaign_and_only_they():
    for visit in drawn(300):
        locations = []
        for request in requests_of(visit, 1, STARTED_AT):
            query = parse_qs(urlsplit(request.target).query)
            locations.append(urlsplit(query.get("dl", [""])[0]))
        views = [hit for hit in visit.hits if hit.event_name == "page_view"]
        assert locations[0].query == (visit.landing_query if visit.hits[0].path else "")
        if len(views) > 1:
            assert {location.query for location in locations[views[1].request :]} == {""}


@pytest.mark.parametrize("site", [SITE, SERVED_SITE], ids=["web", "history"])
def test_some_page_views_name_no_page_at_the_start_within_and_at_the_end_of_visits(site):
    history_hours = 24 * bool(site.api_secret)
    script = drawn(1_000, sites=(site,), history_hours=history_hours)
    places = set()
    for visit in script:
        views = [hit.path for hit in visit.hits if hit.event_name == "page_view"]
        for place, path in enumerate(views):
            if not path:
                places.add((place == 0, place == len(views) - 1))
        for request in requests_of(visit, 1, STARTED_AT):
            named = any(hit.path for hit in visit.hits if hit.request == request.number - 1)
            has_location = b"page_location" in request.body or "&dl=" in request.target
            assert has_location == named
    assert places == {(True, True), (True, False), (False, True), (False, False)}


def test_purchases_have_a_value_of_their_items_and_a_transaction_of_their_visit():
    purchases = [
        (row["visit"], hit)
        for row in planned(drawn(2_000))[1]
        for hit in row["hits"]
        if hit["event_name"] == "purchase"
    ]
    transactions = {(visit, hit["transaction_id"]) for visit, hit in purchases}
    visits = {visit for visit, _ in purchases}
    assert len(visits) == len(transactions) == len({name for _, name in transactions}) > 20
    assert len(purchases) > len(visits)  # some see the last page twice
    for _, hit in purchases:
        assert hit["key_event"]
        total = sum(item["price"] * item["quantity"] for item in hit["items"])
        assert hit["value"] == pytest.approx(total)


def test_the_crowd_is_mixed():
    script = drawn(1_000)
    assert {visit.client.device.category for visit in script} == {"desktop", "mobile", "tablet"}
    assert len({(visit.origin.source, visit.origin.medium) for visit in script}) >= 9
    assert len({visit.client.country for visit in script}) == 9
    assert any(len(visit.hits) == 1 for visit in script)
    names = {hit.event_name for visit in script for hit in visit.hits}
    assert names == {
        "page_view",
        "scroll",
        "user_engagement",
        "view_item",
        "add_to_cart",
        "begin_checkout",
        "purchase",
    }
