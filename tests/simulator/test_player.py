"""The player against a small real HTTP server that can be told to misbehave."""

import asyncio
from collections import Counter, defaultdict
from itertools import islice
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.simulator.connection import Connection
from cli.simulator.player import Player
from cli.simulator.schedule import schedule
from cli.simulator.visits import Habits, Site, visits


class Server:
    """Answers 204 and remembers; ``misbehave`` is asked the number of each request from 0."""

    def __init__(self, misbehave=lambda number: "") -> None:
        self.targets: list[str] = []
        self.connections = 0
        self._misbehave = misbehave

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
                await reader.readexactly(length)
                what = self._misbehave(len(self.targets))
                self.targets.append(head.split(" ")[1])
                if what == "break":
                    return
                if what == "refuse":
                    writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
                elif what == "close":
                    writer.write(b"HTTP/1.1 204 OK\r\nConnection: close\r\n\r\n")
                    return
                else:
                    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


def dues(count, rate=100_000.0):
    drawn = islice(visits(1, [Site(measurement_id="G-AAAAAAAAAA")], Habits()), count)
    return list(schedule(drawn, rate, 0, lambda visit, first: None))


async def played(server_url, requests, *, retry=False, connections=4):
    rows = []
    player = Player(server_url, connections=connections, retry=retry, log=rows.append)
    await player.play(iter(requests))
    return player, rows


def play(requests, misbehave=lambda number: "", **options):
    async def scenario():
        async with Server(misbehave) as server:
            player, rows = await played(server.url, requests, **options)
            return server, player, rows

    return asyncio.run(scenario())


def test_every_request_is_sent_once_and_logged():
    requests = dues(60)
    server, player, rows = play(requests)
    assert Counter(server.targets) == Counter(due.request.target for due in requests)
    assert sorted(row["request"] for row in rows) == list(range(1, len(requests) + 1))
    assert {(row["outcome"], row["status"], row["attempt"]) for row in rows} == {
        ("accepted", 204, 1)
    }
    assert player.outcomes == {"accepted": len(requests)}
    assert server.connections <= 4


def test_requests_of_a_client_arrive_in_the_order_of_the_schedule():
    requests = dues(200)
    server, _, _ = play(requests)
    meant, arrived = defaultdict(list), defaultdict(list)
    for due in requests:
        meant[due.request.client_id].append(due.request.target)
    for target in server.targets:
        arrived[parse_qs(urlsplit(target).query)["cid"][0]].append(target)
    assert arrived == meant


def test_a_broken_connection_is_logged_as_unknown_and_not_sent_again():
    server, player, rows = play(
        dues(30), lambda number: "break" if number == 5 else "", connections=1
    )
    assert len(server.targets) == len(rows)
    assert Counter(row["outcome"] for row in rows)["unknown"] == 1
    assert player.outcomes["unknown"] == 1


def test_with_retry_the_same_request_goes_again_and_both_are_logged():
    server, player, rows = play(
        dues(10),
        lambda number: {3: "break", 7: "refuse"}.get(number, ""),
        connections=1,
        retry=True,
    )
    again = [row for row in rows if row["attempt"] == 2]
    assert [row["outcome"] for row in again] == ["accepted", "accepted"]
    assert server.targets[3] == server.targets[4]
    assert set(player.outcomes) == {"accepted"}


def test_a_refusal_is_logged_with_its_status():
    _, player, rows = play(dues(10), lambda number: "refuse" if number == 2 else "", connections=1)
    assert [row["status"] for row in rows if row["outcome"] == "refused"] == [503]
    assert player.outcomes["refused"] == 1


def test_a_connection_that_the_server_closes_in_good_order_puts_nothing_in_doubt():
    _, player, _ = play(dues(10), lambda number: "close", connections=2)
    assert set(player.outcomes) == {"accepted"}


def test_without_a_server_requests_are_logged_as_unsent():
    async def scenario():
        async with Server() as server:
            url = server.url
        return await played(url, dues(2))

    _, rows = asyncio.run(scenario())
    assert {(row["outcome"], row["status"]) for row in rows} == {("unsent", 0)}


def test_stopping_ends_the_play_before_its_schedule():
    requests = dues(200, rate=100.0)

    async def scenario():
        async with Server() as server:
            player = Player(server.url, connections=2, retry=False, log=lambda row: None)
            asyncio.get_running_loop().call_later(0.3, player.stop)
            await player.play(iter(requests))
            return len(server.targets)

    assert 5 < asyncio.run(scenario()) < 200


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", ""])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="expected an address"):
        Connection(url)
