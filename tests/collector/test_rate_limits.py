"""Rate limits: what is beyond them is answered 429 and not recorded, whichever worker is asked."""

from pathlib import Path

import pytest

from collector.peers import TrustedProxies
from collector.rate_limits import RateLimitedError, RateLimits, SharedCounts, begin_anew
from tests.collector.workers import worker_at

HIT = "tid=G-SHOP&cid=1.2&en=a"


class Seconds:
    """A stopwatch that moves only when it is told to."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def limits_at(folder: Path, seconds: Seconds, *, workers: int = 2, **limits: int) -> RateLimits:
    return RateLimits(
        SharedCounts(folder, workers),
        **({"per_property": 0, "per_network": 0} | limits),
        proxies=TrustedProxies(("198.51.100.0/24",)),
        seconds=seconds,
    )


def admitted(limits: RateLimits, address: str = "203.0.113.7") -> bool:
    try:
        limits.admit_network(address)
        limits.admit_property("G-SHOP")
    except RateLimitedError:
        return False
    return True


@pytest.mark.parametrize("limit", ["per_property", "per_network"])
def test_the_workers_of_a_collector_share_a_limit(tmp_path: Path, limit: str):
    seconds = Seconds()
    workers = [limits_at(tmp_path, seconds, workers=3, **{limit: 10}) for _ in range(3)]
    assert sum(admitted(workers[number % 3]) for number in range(30)) == 10
    assert not any(admitted(worker) for worker in workers)


def test_the_next_second_begins_at_nothing(tmp_path: Path):
    seconds = Seconds()
    limits = limits_at(tmp_path, seconds, per_property=5)
    for _ in range(3):
        assert [admitted(limits) for _ in range(7)] == [True] * 5 + [False] * 2
        seconds.now += 1


def test_properties_and_networks_are_counted_each_by_itself(tmp_path: Path):
    limits = limits_at(tmp_path, Seconds(), per_property=1, per_network=1)
    limits.admit_property("G-ONE")
    limits.admit_property("G-OTHER")
    limits.admit_network("203.0.113.7")
    limits.admit_network("203.0.114.7")
    with pytest.raises(RateLimitedError, match="property_rate_limited"):
        limits.admit_property("G-ONE")
    with pytest.raises(RateLimitedError, match="network_rate_limited"):
        limits.admit_network("203.0.113.99")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.3.4", "fd00::1",
     "198.51.100.9", "", "unix:"],
)  # fmt: skip
def test_a_balancer_is_no_visitor_that_could_be_too_many(tmp_path: Path, address: str):
    limits = limits_at(tmp_path, Seconds(), per_network=1)
    assert all(admitted(limits, address) for _ in range(5))


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8:1::7", "172.32.0.1", "1.2.3.4"])
def test_visitors_are_limited(tmp_path: Path, address: str):
    limits = limits_at(tmp_path, Seconds(), per_network=1)
    assert [admitted(limits, address) for _ in range(2)] == [True, False]


def test_a_worker_takes_over_what_another_has_left_and_an_extra_one_counts_alone(tmp_path: Path):
    seconds = Seconds()
    first, second = (limits_at(tmp_path, seconds, workers=1, per_property=2) for _ in range(2))
    alone = limits_at(tmp_path, seconds, workers=1, per_property=2)
    assert [admitted(limits) for limits in (alone, alone, alone)] == [True, True, False]
    assert [admitted(limits) for limits in (first, second, first)] == [True, True, False]
    first.close()
    heir = limits_at(tmp_path, seconds, workers=1, per_property=3)
    assert [admitted(heir) for _ in range(2)] == [True, False]
    assert [admitted(second) for _ in range(2)] == [False, False]


def test_a_collector_that_starts_forgets_what_was_counted_and_under_which_hash(tmp_path: Path):
    seconds = Seconds()
    assert admitted(limits_at(tmp_path, seconds, per_property=1))
    salt = (tmp_path / "salt").read_bytes()
    begin_anew(tmp_path)
    assert (tmp_path / "salt").read_bytes() != salt
    assert admitted(limits_at(tmp_path, seconds, per_property=1))


LIMITED = {
    "property": ({"max_requests_per_second_per_property": 3}, "property_rate_limited"),
    "network": ({"max_requests_per_second_per_network": 3}, "network_rate_limited"),
}


@pytest.mark.parametrize(("settings", "reason"), LIMITED.values(), ids=LIMITED)
def test_what_is_beyond_a_limit_is_told_so_counted_and_not_recorded(
    tmp_path: Path, settings, reason: str, monkeypatch
):
    monkeypatch.setattr("collector.app.monotonic", Seconds())
    with worker_at(tmp_path, **settings) as collector:
        answers = [
            collector.ask("/g/collect", HIT, HTTP_ORIGIN="https://shop.test") for _ in range(5)
        ]
        metrics = collector.ask("/metrics").body.decode().splitlines()
        assert len(collector.rows()) == 3
    assert [answer.status for answer in answers] == [204] * 3 + [429] * 2
    refused = answers[-1].headers
    assert (refused["Retry-After"], refused["X-Tallymark-Reason"]) == ("1", reason)
    assert refused["Access-Control-Allow-Origin"] == "https://shop.test"
    assert f"tallymark_collector_requests_refused_{reason.partition('_')[0]}_total 2.0" in metrics


def test_unknown_properties_have_no_limit_of_their_own(tmp_path: Path):
    with worker_at(tmp_path, max_requests_per_second_per_property=1) as collector:
        statuses = {collector.ask("/g/collect", "tid=G-OTHER").status for _ in range(5)}
    assert statuses == {204}


def test_without_limits_nothing_is_counted(tmp_path: Path):
    with worker_at(tmp_path) as collector:
        assert {collector.ask("/g/collect", HIT).status for _ in range(50)} == {204}
        assert collector.worker.limits is None
    assert not (tmp_path / "run" / "collector-rates").exists()
