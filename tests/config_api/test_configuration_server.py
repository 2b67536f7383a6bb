"""The service as a process: what it answered is there however it died, and what it says is so."""

import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config_api.folder import ConfigFolder
from stores.rules_cache.documents import decode_properties
from tests.e2e.stack import eventually, free_ports, tallymark
from tests.servers import running_postgresql


class Service:
    """``tallymark serve config`` on a data folder, with its own key."""

    def __init__(self, data: Path, port: int, database: str) -> None:
        self.folder = ConfigFolder(data / "rules")
        self.port = port
        self.process = subprocess.Popen(
            [*tallymark("serve", "config"), f"--data={data}", f"--port={port}",
             f"--database={database}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        eventually(self.is_ready, within_seconds=30, what="an answer of /readyz")

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Content-Type": "application/json"}
            if self.folder.owner_key.exists():
                headers["Authorization"] = f"Bearer {self.folder.owner_key.read_text().strip()}"
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def end(self, how: int) -> None:
        os.killpg(self.process.pid, how)
        self.process.wait(timeout=20)


@contextmanager
def serving(data: Path, database: str = "") -> Iterator[Service]:
    [port] = free_ports(1)
    service = Service(data, port, database)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.end(signal.SIGKILL)


@pytest.mark.slow
def test_what_was_answered_is_there_after_the_service_was_killed(tmp_path: Path, url: str) -> None:
    answered: list[str] = []
    with serving(tmp_path, url) as service:
        account = service.ask("GET", "/v1/accounts")[1]["accounts"][0]["name"]

        def write(number: int) -> None:
            for index in range(10_000):
                body = {"parent": account, "display_name": f"Shop {number} {index}"}
                try:
                    status, made = service.ask("POST", "/v1/properties", body)
                except (OSError, http.client.HTTPException):
                    return
                assert status == 200, made
                answered.append(made["name"])

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        eventually(lambda: len(answered) > 60, within_seconds=30, what="60 answers")
        service.end(signal.SIGKILL)
        for writer in writers:
            writer.join()
    with serving(tmp_path, url) as service:
        found = service.ask("GET", "/v1/properties?page_size=1000")[1]["properties"]
        owners = decode_properties(service.folder.properties.read_bytes())
        feed = service.ask("GET", "/readyz")[1]["position"]
    names = {each["name"] for each in found}
    assert set(answered) <= names
    assert len(names) <= len(answered) + 3  # those that it died in the middle of answering
    assert {f"properties/{owner.property_id}" for owner in owners} == names
    assert feed == len(names)


@pytest.mark.slow
def test_what_a_command_changes_is_known_to_a_running_service(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        command = [*tallymark("property", "create"), "--name=Shop", f"--data={tmp_path}", "--json"]
        made = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        status, found = service.ask("GET", f"/v1/properties/{made['property_id']}/dataStreams")
        assert status == 200
        assert [each["measurement_id"] for each in found["data_streams"]] == [
            made["measurement_id"]
        ]


@pytest.mark.slow
def test_it_publishes_what_was_committed_by_one_who_died_before_it_could(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.ask(
            "POST", "/v1/properties",
            {"parent": service.ask("GET", "/v1/accounts")[1]["accounts"][0]["name"],
             "display_name": "Shop"},
        )  # fmt: skip
        before = service.folder.properties.read_bytes()
        service.folder.properties.write_text("{}")
        eventually(
            lambda: service.folder.properties.read_bytes() == before,
            within_seconds=10, what="the file as it was",
        )  # fmt: skip


@pytest.mark.slow
def test_it_stops_in_order(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        began = time.monotonic()
        service.process.terminate()
        assert service.process.wait(timeout=20) == 0
        assert time.monotonic() - began < 10


@pytest.mark.postgresql
def test_a_database_server_that_is_away_is_told_and_found_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    with running_postgresql() as server, serving(tmp_path, f"{server.url}/postgres") as service:
        assert service.ask("GET", "/v1/accounts")[0] == 200
        server.stop()
        status, answer = service.ask("GET", "/v1/accounts")
        assert (status, answer["error"]["status"]) == (503, "UNAVAILABLE")
        assert "tallymark@" not in answer["error"]["message"]
        assert service.ask("GET", "/healthz")[0] == 200
        server.start()
        eventually(service.is_ready, within_seconds=20, what="the database to be found again")
        assert service.ask("GET", "/v1/accounts")[0] == 200
