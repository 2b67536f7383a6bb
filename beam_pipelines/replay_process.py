"""A replay in a process of its own: its memory is bounded by it, and it goes when it is not wanted.

The process tells how far it is in JSON lines, the outcome last; see ``beam_pipelines.replay``.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

from beam_pipelines import allocators
from beam_pipelines.replay_request import ReplayRequest, encode_request

Report = Callable[[dict[str, Any]], None]
"""Told each line of progress: stage, done, of, hits, seconds."""
STOP_SECONDS: Final = 10.0


def environment() -> dict[str, str]:
    """What a replay's process is started with; what is set already stays."""
    return {**allocators.SPARING, **os.environ}


class ReplayFailedError(Exception):
    """A replay did not come to its end; says what was wrong and what to do.

    Attributes:
        kind: What it is called, such as ``unsealed``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def run_stage(stage: str, request: ReplayRequest, report: Report) -> dict[str, Any]:
    """Run a stage, or ``all``, and wait for its end; whatever ends the wait ends the process.

    Returns:
        The outcome.

    Raises:
        ReplayFailedError: when it failed; what is served stays as it was.
    """
    command = [sys.executable, "-m", "beam_pipelines.replay", "--request", "-", "--stage", stage]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError), process.stdin as request_pipe:
            request_pipe.write(encode_request(request))
        last: dict[str, Any] = {}
        for line in process.stdout:
            last = _document(line)
            if "outcome" not in last:
                report(last)
        status = process.wait()
    finally:
        _end(process)
    if status == 0 and last.get("outcome") == "done":
        return last
    kind = str(last.get("outcome", "died"))
    told = last.get("message") or f"its process ended with status {status}; its log says why"
    raise ReplayFailedError(kind, str(told))


def _document(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ReplayFailedError("failed", f"expected a JSON object a line, got {line[:200]!r}")
    return document


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
