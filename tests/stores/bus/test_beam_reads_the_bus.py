"""A real Beam pipeline, with nothing of ours in it, on the embedded server."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stores.bus.pubsub import emulator_environment


@pytest.mark.slow
def test_a_streaming_pipeline_on_the_direct_runner_reads_big_messages_from_the_embedded_bus(
    embedded, tmp_path: Path
):
    folder = tmp_path / "read"
    folder.mkdir()
    subscription = embedded.subscribe()
    sent = {str(i): bytes([i]) * 1_000_000 for i in range(12)}
    _publish(embedded, dict(list(sent.items())[:8]))
    with (tmp_path / "log").open("wb") as log:
        reader = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("beam_reader.py")),
                embedded.address.subscription_path(subscription),
                str(folder),
            ],
            env=os.environ | emulator_environment(embedded.address),
            stdout=log,
            stderr=log,
        )
    try:
        _await(folder, 8, reader)
        # Idle pulls in between must not fail the pipeline.
        time.sleep(3)
        _publish(embedded, dict(list(sent.items())[8:]))
        _await(folder, 12, reader)
        assert {one.name: one.read_bytes() for one in folder.iterdir()} == sent
    finally:
        reader.kill()
        reader.wait()


def _publish(embedded, messages: dict[str, bytes]) -> None:
    for number, payload in messages.items():
        embedded.publisher.publish(embedded.topic, payload, {"number": number}).result()


def _await(folder: Path, count: int, reader: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and reader.poll() is None:
        if len([one for one in folder.iterdir() if not one.suffix]) >= count:
            return
        time.sleep(0.2)
    raise AssertionError(f"{count} messages expected; the pipeline ended with {reader.poll()}")
