"""The probes of Dagster against a webserver that answers what a table says."""

import http.server
import json
import threading
from contextlib import contextmanager

import pytest

from cli.dagster_probes import code_problem, daemon_problem, daemons_live


@contextmanager
def webserver(answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Nothing is logged."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def workspace(*loads):
    entries = [{"locationOrLoadError": load} for load in loads]
    return {"data": {"workspaceOrError": {"locationEntries": entries}}}


def daemons(**heartbeats):
    statuses = [
        {"daemonType": name, "required": name != "SPARE", "healthy": at is not None,
         "lastHeartbeatTime": at}
        for name, at in heartbeats.items()
    ]  # fmt: skip
    return {"data": {"instance": {"daemonHealth": {"allDaemonStatuses": statuses}}}}


LOADED = {"__typename": "RepositoryLocation"}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (workspace(LOADED), ""),
        (workspace(None), "the definitions are not loaded"),
        (workspace(), "the definitions are not loaded"),
        (workspace({"__typename": "PythonError", "message": "no module\n"}), "no module"),
        ({"errors": [{"message": "bad query"}]}, "bad query"),
    ],
)
def test_the_code_is_well_when_it_is_loaded(answer, told):
    with webserver(answer) as url:
        problem = code_problem(url)
    assert (problem == "") if told == "" else (told in problem)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (daemons(SENSOR=100.0, SPARE=None), ""),
        (daemons(SENSOR=99.0, SCHEDULER=100.0), "no sign of life from SENSOR"),
        (daemons(SENSOR=None, SCHEDULER=None), "no sign of life from SENSOR, SCHEDULER"),
    ],
)
def test_the_daemon_is_well_when_all_that_are_required_showed_life_lately(answer, told):
    with webserver(answer) as url:
        assert daemon_problem(url, since=100.0) == told


def test_nobody_answers_is_a_problem_of_both():
    with webserver({}) as url:
        pass
    assert "answered nothing" in code_problem(url)
    assert "answered nothing" in daemon_problem(url)


def test_signs_of_life_of_the_process_before_do_not_count():
    with webserver(daemons(SENSOR=100.0)) as url:
        is_ready = daemons_live(url, clock=iter([99.0, 101.0]).__next__)
        assert is_ready(1)
        assert not is_ready(2)
