"""The process of a replay, in whose place tiny programs stand."""

import sys
import textwrap

import psutil
import pytest

from beam_pipelines import replay_process
from beam_pipelines.replay_process import ReplayFailedError, run_stage
from beam_pipelines.replay_request import ReplayRequest

REQUEST = ReplayRequest(
    lineage="gen-1",
    start_us=0,
    end_us=1,
    archive_url="file:a",
    wide_rows_url="sqlite:w",
    rules_path="r",
)


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Lets a program's text run instead of the module that is asked for."""

    def put(text: str) -> None:
        path = tmp_path / "program.py"
        path.write_text("import json, os, sys, time\n" + textwrap.dedent(text))
        real = replay_process.subprocess.Popen
        monkeypatch.setattr(
            replay_process.subprocess,
            "Popen",
            lambda _command, **pipes: real([sys.executable, str(path)], **pipes),
        )

    return put


def test_progress_is_passed_on_and_the_outcome_returned(program):
    program(
        """
        request = json.load(sys.stdin)
        print(json.dumps({"stage": "sessions", "done": 1}), flush=True)
        print(json.dumps({"outcome": "done", "lineage": request["lineage"]}))
        """
    )
    told = []
    outcome = run_stage("sessions", REQUEST, told.append)
    assert told == [{"stage": "sessions", "done": 1}]
    assert outcome == {"outcome": "done", "lineage": "gen-1"}


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        (
            'print(json.dumps({"outcome": "unsealed", "message": "wait"})); sys.exit(3)',
            "unsealed",
            "wait",
        ),
        ("os.kill(os.getpid(), 9)", "died", "ended with status -9"),
        ("sys.exit(0)", "died", "ended with status 0"),
        ('print("no json")', "failed", "expected a JSON object a line"),
        ("print([])", "failed", "expected a JSON object a line"),
    ],
)
def test_a_replay_that_fails_says_how(program, text, kind, told):
    program(text)
    with pytest.raises(ReplayFailedError, match=told) as failed:
        run_stage("all", REQUEST, lambda _line: None)
    assert failed.value.kind == kind


def test_whatever_ends_the_wait_ends_the_process(program):
    program('print(json.dumps({"stage": "any", "pid": os.getpid()}), flush=True); time.sleep(99)')
    pids = []

    def interrupt(line):
        pids.append(line["pid"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage("all", REQUEST, interrupt)
    assert not psutil.pid_exists(pids[0])
