"""Touches that a replay has counted, between counting and the cells of its lineage.

``counts/LINEAGE/SPAN/touches/`` holds those of each set of clients in each group of hours.
``touched/LINEAGE/SPAN/`` says of which clients and hours the lineage has cells: an hour that loses
its touches when it is computed again is written empty. ``pinned/LINEAGE/SPAN.json`` says by which
pointers it took the touches of older hours.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import orjson
import polars as pl

from stores.archive.clean_files import hash_range, in_hashes
from stores.archive.counts import counts_folder, damaged_counts, span_name
from stores.archive.hours import hour_of
from stores.archive.port import Objects
from tallymark.pieces import CLIENT
from tallymark.replays import Span
from tallymark.shard_frames import ipc_bytes, ipc_frame
from tallymark.touch_cells import CLIENT_HOUR, HELD_SCHEMA
from tallymark.touch_cells import hour_of as touch_hour
from tallymark.touches import TOUCH_SCHEMA

TOUCHED: Final = "touched/"
PINNED: Final = "pinned/"
OWED_SCHEMA: Final = pl.Schema({name: HELD_SCHEMA[name] for name in CLIENT_HOUR})


class CountedTouches:
    """Touches of sets of clients in an object store.

    Args:
        objects: The archive.
        lineage: Whose.
        targets: Of which hours.
    """

    def __init__(self, objects: Objects, lineage: str, targets: Span) -> None:
        self._objects = objects
        self._lineage = lineage
        self._folder = counts_folder(lineage, targets) + "touches/"
        self._noted = f"{TOUCHED}{lineage}/"

    def write(self, number: int, group: int, touches: pl.DataFrame) -> None:
        """Store the touches (``TOUCH_SCHEMA``) of a set of clients in a group of hours."""
        self._objects.put(self._name(number, group), ipc_bytes(touches, "lz4"))

    def read(self, number: int, group: int) -> pl.DataFrame:
        """What ``write`` stored.

        Raises:
            ArchiveDamageError: when it is missing or cannot be read.
        """
        name = self._name(number, group)
        try:
            return ipc_frame(self._objects.get(name), TOUCH_SCHEMA)
        except FileNotFoundError as error:
            raise damaged_counts(name, "are missing", self._lineage) from error
        except (pl.exceptions.PolarsError, OSError) as error:
            raise damaged_counts(name, f"cannot be read: {error}", self._lineage) from error

    def owed(self, touches: pl.DataFrame, hours: Span, number: int, passes: int) -> pl.DataFrame:
        """The clients' hours (``CLIENT_HOUR``) to be written, noted before they are.

        They are those of ``touches``, and those that the lineage had cells of before.

        Args:
            touches: ``TOUCH_SCHEMA`` of a set of clients in some hours.
            hours: These hours.
            number: Of the set.
            passes: How many sets there are, a power of two.
        """
        inside = pl.col("hour").is_between(hours.start_us, hours.end_us, closed="left")
        mine = inside & in_hashes(*hash_range(number, passes))
        before = [
            ipc_frame(self._objects.get(name), OWED_SCHEMA).filter(mine)
            for name in self._objects.names(self._noted)
            if _may_hold(name.removeprefix(self._noted), hours, number, passes)
        ]
        fresh = touches.select(*CLIENT, touch_hour("start"))
        owed = pl.concat([*before, fresh]).unique().sort(CLIENT_HOUR)
        name = f"{self._noted}{span_name(hours)}/{passes:05d}-{number:05d}.arrow"
        self._objects.put(name, ipc_bytes(owed, "lz4"))
        return owed

    def _name(self, number: int, group: int) -> str:
        return f"{self._folder}group={group:05d}/{number:05d}.arrow"


def noted_touches(objects: Objects, lineage: str) -> Iterator[pl.DataFrame]:
    """The clients' hours (``CLIENT_HOUR``) that a lineage may have touches of, a note a time."""
    for name in objects.names(f"{TOUCHED}{lineage}/"):
        yield ipc_frame(objects.get(name), OWED_SCHEMA)


def take_out_noted(objects: Objects, is_due: pl.Expr, before_us: int) -> None:
    """Forget the clients' hours that are due, of all lineages.

    Args:
        objects: The archive.
        is_due: Says it of ``CLIENT_HOUR``.
        before_us: UTC µs; nothing that began since is.
    """
    for name in objects.names(TOUCHED):
        span = name.split("/")[2]
        if _span(span).start_us < before_us:
            noted = ipc_frame(objects.get(name), OWED_SCHEMA)
            kept = noted.filter(~is_due)
            if kept.height < noted.height:
                objects.put(name, ipc_bytes(kept, "lz4"))


def pin_versions(
    objects: Objects, lineage: str, targets: Span, versions: Mapping[int | None, int]
) -> None:
    """Note by which pointers a lineage counts: the version of the map (``None``), of overrides."""
    document = {str(owner or ""): version for owner, version in versions.items()}
    objects.put(f"{PINNED}{lineage}/{span_name(targets)}.json", orjson.dumps(document))


def pinned_versions(objects: Objects, lineage: str, hours: Span) -> list[dict[int | None, int]]:
    """What ``pin_versions`` noted of hours, once a time they were counted."""
    prefix = f"{PINNED}{lineage}/"
    return [
        {int(owner) if owner else None: version for owner, version in document.items()}
        for name in objects.names(prefix)
        if _span(name.removeprefix(prefix).removesuffix(".json")).meets(hours)
        for document in (orjson.loads(objects.get(name)),)
    ]


def _span(name: str) -> Span:
    return Span(*(hour_of(edge) for edge in name.split("--")))


def _may_hold(name: str, hours: Span, number: int, passes: int) -> bool:
    """Whether a note may tell of clients of a set in some hours, by its name."""
    span, _, clients = name.partition("/")
    of, part = (int(digits) for digits in clients.removesuffix(".arrow").split("-"))
    shares_clients = number * of < (part + 1) * passes and part * passes < (number + 1) * of
    return _span(span).meets(hours) and shares_clients
