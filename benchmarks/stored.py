"""Hits a second that a whole local stack accepts and stores, asked as fast as it answers.

Two workers of the collector take what wrk (or this process, where there is none) sends over 16
connections on the same machine; the shipper, the bus, the archiver and the stream work beside
them. Stored is what lies in the raw archive when the stack has stopped; it has to be what was
accepted, but for requests that were on their way when the client left.

Once all of it works as always, and once the stream, which counts, is paused while the client asks:
GoatCounter, from which the bar comes, writes down and counts later too.

    python -m benchmarks.stored --seconds 20
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb

from benchmarks.collector import CONNECTIONS, PROTOCOLS, requests_of_sockets, requests_of_wrk
from tests.e2e.stack import running

BAR = 3 * 7_900
"""Three times what GoatCounter 2.7 on SQLite accepted and stored on two such cores."""


def main() -> None:
    """Print accepted and stored hits a second, both ways."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=20)
    seconds = arguments.parse_args().seconds
    rates = {}
    for counts, name in ((True, "counting beside"), (False, "counted afterwards")):
        accepted, stored = asked(seconds, counts=counts)
        rates[name] = stored / seconds
        print(
            f"{name}: {accepted:,} accepted, {stored:,} stored in {seconds} s: "
            f"{rates[name]:,.0f} hits/s, bar {BAR:,}: {'met' if rates[name] >= BAR else 'MISSED'}"
        )
        if not accepted <= stored <= accepted + CONNECTIONS:
            sys.exit("what was accepted is not what is stored")
    sys.exit(min(rates.values()) < BAR)


def asked(seconds: int, *, counts: bool) -> tuple[int, int]:
    """Requests that were accepted, and those in the archive once the stack has stopped.

    Args:
        seconds: How long it is asked.
        counts: Whether the stream goes on meanwhile.
    """
    client = requests_of_wrk if shutil.which("wrk") else requests_of_sockets
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder / "stack", "--collector-workers=2") as stack:
            site = stack.create_property("Stored")
            request = PROTOCOLS["ga4_web_by_get"]
            target = request.target.replace("G-SHOP", site.measurement_id)
            with contextlib.nullcontext() if counts else paused(stack.pid("stream")):
                accepted = client(
                    stack.collector_port, seconds, replace(request, target=target), folder
                )
        archive = str(folder / "stack" / "data" / "archive" / "raw" / "**" / "*.parquet")
        query = "SELECT count(DISTINCT request_id) FROM read_parquet(?)"
        ((stored,),) = duckdb.execute(query, [archive]).fetchall()
    return accepted, stored


@contextlib.contextmanager
def paused(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
