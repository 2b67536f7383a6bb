"""Erasure: all that is held of one client of a property goes, whenever it was received.

Reports stay, as they are sums. Computed again, they come to less: the client's hits are gone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from stores.archive.clean_retention import CleanRetention
from stores.archive.counted_touches import take_out_noted
from stores.archive.port import Objects
from stores.archive.raw import RawArchive
from stores.archive.raw_retention import RawRetention
from stores.archive.superseded import note_superseded
from stores.wide_rows.port import WideRows
from tallymark.erasure import hashes_of_client, hits_of_client, requests_of_client
from tallymark.properties import Property
from tallymark.slots import HOUR_US
from tallymark.touch_cells import with_client_keys


@dataclass(frozen=True)
class Erased:
    """What was held of a client.

    Attributes:
        requests: Recorded requests.
        hours: Received hours in which these lay.
        hits: Clean hits of all lineages.
        letters: Dead letters.
    """

    requests: int = 0
    hours: int = 0
    hits: int = 0
    letters: int = 0


class Erasure:
    """Erases what is held of a client.

    Args:
        wide_rows: Where clients' touches are.
        objects: The archive.
        now_us: UTC µs.
        owner: The property that knows the client.
        client_id: By which it does, as it was sent.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        objects: Objects,
        now_us: Callable[[], int],
        *,
        owner: Property,
        client_id: str,
    ) -> None:
        self._wide_rows = wide_rows
        self._objects = objects
        self._now_us = now_us
        self._owner = owner
        self._client_id = client_id
        self._raw = RawRetention(objects, set)
        self._clean = CleanRetention(objects, set, self._supersede)

    def found(self) -> dict[int, set[str]]:
        """The ids of the recorded requests that are the client's, by received hour (UTC µs);
        nothing is changed."""
        archive = RawArchive(self._objects)
        found = {
            hour: {
                name
                for frame in archive.read_hour(hour)
                for name in frame.filter(self._is_of_client(frame)).get_column("request_id")
            }
            for hour in archive.hours()
        }
        return {hour: names for hour, names in found.items() if names}

    def run(self) -> Erased:
        """Erase it. One that was cut off does all of it when it is run again.

        What is erased is out of reach at once; the files that held it are deleted a day later, by
        retention's next sweep.
        """
        found = self.found()
        ids = {name for names in found.values() for name in names}
        property_id = self._owner.property_id
        hits = self._clean.erase_hits(hits_of_client(property_id, self._client_id, ids))
        hashes = hashes_of_client(hits, self._client_id)
        is_client = pl.col("client_hash").is_in(pl.Series(list(hashes), dtype=pl.UInt64).implode())
        is_one = (pl.col("property_id") == property_id) & is_client
        self._clean.erase_sessions(is_one)
        letters = self._clean.erase_letters(list(found), ids)
        self._erase_touches(hashes)
        take_out_noted(self._objects, is_one, self._now_us() + HOUR_US)
        # The requests go last: by them the rest is found.
        requests = sum(
            self._raw.without(hour, self._is_of_client, self._supersede).height for hour in found
        )
        return Erased(requests, len(found), hits.height, letters)

    def _is_of_client(self, requests: pl.DataFrame) -> pl.Series:
        return requests_of_client(requests, self._owner.measurement_ids, self._client_id)

    def _erase_touches(self, hashes: set[int]) -> None:
        clients = pl.DataFrame(
            {"client_hash": sorted(hashes)}, schema={"client_hash": pl.UInt64}
        ).with_columns(property_id=pl.lit(self._owner.property_id, pl.Int64))
        keys = with_client_keys(clients).get_column("row_key")
        self._wide_rows.delete([(key, key + b"\x00") for key in keys])

    def _supersede(self, names: list[str]) -> None:
        note_superseded(self._objects, names, self._now_us())
