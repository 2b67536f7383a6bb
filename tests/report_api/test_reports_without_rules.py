"""Reports while the configuration service is away."""

from flask.testing import FlaskClient

from report_api.app import create_app
from stores.rules_cache.documents import decode_property
from stores.rules_cache.feed import FeedRulesCache
from stores.rules_cache.feed_client import FeedClient
from stores.wide_rows.port import WideRows
from tests.report_api.conftest import Shop
from tests.stores.rules_cache.conftest import IMPATIENT
from tests.stores.rules_cache.feed_server import key_file, serving
from tests.stores.rules_cache.feed_server import shop as property_of


def test_a_property_that_cannot_be_asked_for_is_not_refused_but_put_off(
    shop: Shop, store: WideRows, tmp_path
):
    with serving() as service:
        cache = FeedRulesCache(
            FeedClient(service.url, key_file(tmp_path), decode_property), None, IMPATIENT
        )
        app = create_app(wide_rows=store, rules_cache=cache, now_us=lambda: shop.now_us)
        known, unknown = property_of(1).property_id, property_of(2).property_id
        with service.writing() as database:
            database.save(property_of(1))

        assert asked(app.test_client(), known).status_code == 403
        assert asked(app.test_client(), unknown).status_code == 403
        service.stop()
        assert asked(app.test_client(), known).status_code == 403
        answer = asked(app.test_client(), property_of(3).property_id)
        assert (answer.status_code, answer.json["error"]["status"]) == (503, "UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) > 0
        cache.close()


def asked(client: FlaskClient, property_id: int):
    path = f"/v1beta/properties/{property_id}:runReport"
    return client.post(path, json={}, headers={"Authorization": "Bearer wrong"})
