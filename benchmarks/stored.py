"""Hits a second that a whole local stack accepts and stores, asked as fast as it answers.

Two workers of the collector take what wrk (or this process, where there is none) sends over 16
connections on the same machine; the shipper, the bus, the stream and the archiver work beside
them. Stored is what lies in the raw archive when the stack has stopped; it has to be what was
accepted, but for requests that were on their way when the client left.

    python -m benchmarks.stored --seconds 20
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb

from benchmarks.collector import CONNECTIONS, PROTOCOLS, requests_of_sockets, requests_of_wrk
from tests.e2e.stack import running

BAR = 3 * 7_900
"""Three times what GoatCounter 2.7 on SQLite accepted and stored on two such cores."""


def main() -> None:
    """Print accepted and stored hits a second."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=20)
    seconds = arguments.parse_args().seconds
    client = requests_of_wrk if shutil.which("wrk") else requests_of_sockets
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder / "stack", "--collector-workers=2") as stack:
            site = stack.create_property("Stored")
            request = PROTOCOLS["ga4_web_by_get"]
            target = request.target.replace("G-SHOP", site.measurement_id)
            accepted = client(
                stack.collector_port, seconds, replace(request, target=target), folder
            )
        archive = str(folder / "stack" / "data" / "archive" / "raw" / "**" / "*.parquet")
        query = "SELECT count(DISTINCT request_id) FROM read_parquet(?)"
        ((stored,),) = duckdb.execute(query, [archive]).fetchall()
    rate = stored / seconds
    print(f"{accepted:,} accepted, {stored:,} stored in {seconds} s: {rate:,.0f} hits/s")
    print(f"bar {BAR:,}: {'met' if rate >= BAR else 'MISSED'}")
    if not accepted <= stored <= accepted + CONNECTIONS:
        sys.exit("what was accepted is not what is stored")
    sys.exit(rate < BAR)


if __name__ == "__main__":
    main()
