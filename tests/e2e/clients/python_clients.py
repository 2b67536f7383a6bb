"""PyPI ga4mp and universal-analytics-python3: python python_clients.py URL NEW_ID SECRET OLD_ID."""

import sys

from ga4mp import GtagMP
from universal_analytics import HTTPBatchRequest, HTTPRequest, Tracker


def new(url: str, measurement_id: str, api_secret: str) -> None:
    """A visit by the Measurement Protocol."""
    client = GtagMP(api_secret=api_secret, measurement_id=measurement_id, client_id="42.42")
    client._base_domain = f"{url}/mp/collect"
    client._validation_domain = f"{url}/debug/mp/collect"
    client.store.set_user_property("level", "gold")
    view = client.create_new_event("page_view")
    view.set_event_param("page_location", "https://python.example/start?utm_source=pip")
    sale = client.create_new_event("purchase")
    for name, value in (("currency", "EUR"), ("value", 19.5), ("transaction_id", "P-1")):
        sale.set_event_param(name, value)
    client.send([view, sale], validation_hit=True)
    client.send([view, sale])


def old(url: str, measurement_id: str) -> None:
    """A visit by Universal Analytics, one hit at once and the others as a batch."""
    HTTPRequest.endpoint, HTTPBatchRequest.endpoint = f"{url}/collect", f"{url}/batch"
    with HTTPRequest() as http:
        Tracker(measurement_id, http, client_id="old.1").send(
            "pageview", "/first", dh="python.example"
        )
    with HTTPBatchRequest() as http:
        tracker = Tracker(measurement_id, http, client_id="old.1")
        tracker.send("event", "video", "play", "holiday", 7)
        tracker.send("transaction", ti="P-2", tr="12.50")
        tracker.send("pageview", "/second", dh="python.example")


if __name__ == "__main__":
    address, new_id, secret, old_id = sys.argv[1:]
    new(address, new_id, secret)
    old(address, old_id)
