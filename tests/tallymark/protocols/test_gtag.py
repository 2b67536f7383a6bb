"""Requests that Google's gtag.js sent from a real browser, its server address set to a collector.

Of a page on which a purchase and a registration were told, that was scrolled, and whose address was
changed by ``history.pushState``.
"""

from tests.tallymark.recorded import frame, understood, web

PAGE = (
    "v=2&tid=G-V4WZGN7VET&gtm=45je37c0&_p=1566339356&cid=768548909.1795726695&ul=en-us&sr=800x600"
    "&_fplc=0&uaa=x86&uab=64&uafvl=Not%253AA-Brand%3B8.0.0.0%7CChromium%3B156.0.8078.108&uamb=0"
    "&uam=&uap=Linux&uapv=&uaw=0&sst.uc=US"
)
FIRST = (
    "&sid=1795726694&sct=1&seg=0&dl=http%3A%2F%2F127.0.0.1%2Fp.html%3Futm_source%3Dletter%26"
    "utm_medium%3Demail%26utm_campaign%3Dspring&dt=Gtag%20page"
)
QUERIES = (
    f"{PAGE}&_s=1{FIRST}&en=page_view&_fv=1&_nsi=1&_ss=1&_ee=1&richsstsse",
    f"{PAGE}&_s=2&cu=EUR{FIRST}&en=purchase&_c=1&_ee=1&pr1=ida~~b~nmShoe%20%26%20sock~pr25.5~qt1"
    "&ep.transaction_id=T1&epn.value=25.5&_et=16&richsstsse",
    f"{PAGE}&_s=3{FIRST}&en=sign_up&_ee=1&ep.method=mail&epn.plan_size=3&_et=7&richsstsse",
    f"{PAGE}&_eu=AEA&_s=4{FIRST}&en=scroll&epn.percent_scrolled=90&_et=3107&richsstsse",
    f"{PAGE}&_eu=AEA&_s=5&dl=http%3A%2F%2F127.0.0.1%3A32923%2Fsecond&dr=http%3A%2F%2F127.0.0.1%3A"
    "32923%2Fp.html%3Futm_source%3Dletter%26utm_medium%3Demail%26utm_campaign%3Dspring"
    "&sid=1795726694&sct=1&seg=1&dt=Gtag%20page&en=page_view&_et=8973&richsstsse",
    f"{PAGE}&_s=6&sid=1795726694&sct=1&seg=1&dl=http%3A%2F%2F127.0.0.1%2Fsecond&dt=Gtag%20page"
    "&en=user_engagement&_et=7102",
)


def test_what_gtag_sends_is_understood_whole() -> None:
    decoded = understood(frame(*(web(query) for query in QUERIES)))

    assert decoded.dead_letters.is_empty()
    hits = decoded.hits
    assert hits.select("event_name", "path", "engagement_ms").rows() == [
        ("page_view", "/p.html", 0),
        ("purchase", "/p.html", 16),
        ("sign_up", "/p.html", 7),
        ("scroll", "/p.html", 3107),
        ("page_view", "/second", 8973),
        ("user_engagement", "/second", 7102),
    ]
    assert hits["is_first_visit"].to_list() == [True, *[False] * 5]
    assert set(hits["client_id"]) == {"768548909.1795726695"}
    assert set(hits["client_session_id"]) == {"1795726694"}
    purchase = hits.row(1, named=True)
    assert (purchase["transaction_id"], purchase["sent_value_micros"], purchase["currency"]) == (
        "T1", 25_500_000, "EUR",
    )  # fmt: skip
    (item,) = purchase["items"]
    assert (item["item_id"], item["item_name"], item["price_micros"], item["quantity"]) == (
        "a~b", "Shoe & sock", 25_500_000, 1,
    )  # fmt: skip
    params = {
        row["event_name"]: {param["key"]: param["text"] for param in row["params"]}
        for row in hits.rows(named=True)
    }
    assert params["page_view"] == {}
    assert params["sign_up"] == {"method": "mail", "plan_size": "3"}
    assert params["scroll"] == {"percent_scrolled": "90"}
