"""Places: where a replay finds everything, and what it is opened as."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from stores.archive.opening import open_objects
from stores.archive.port import Objects
from stores.clock import utc_us
from stores.erasure import Erasure
from stores.publication import Publisher
from stores.retention import RetentionSweep
from stores.rules_cache.opening import open_rules_cache
from stores.stale_touches import StaleTouches
from stores.sweeping import Sweeper
from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.port import WideRows
from tallymark.properties import Property
from tallymark.retention import Retention
from tallymark.slots import LATE_US


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where everything is.

    Attributes:
        archive_url: For ``stores.archive.opening``.
        wide_rows_url: For ``stores.wide_rows.opening``.
        rules_path: The file or the service of the rules, for ``stores.rules_cache.opening``.
        late_us: D.
        retention_days: For how long hits of any property are kept at most; ``None`` is no limit.
    """

    archive_url: str
    wide_rows_url: str
    rules_path: str
    late_us: int = LATE_US
    retention_days: int | None = None

    @cached_property
    def wide_rows(self) -> WideRows:
        """What reports read."""
        return open_wide_rows(self.wide_rows_url)

    @cached_property
    def objects(self) -> Objects:
        """The archive."""
        return open_objects(self.archive_url)

    def publisher(self, who: str) -> Publisher:
        """What changes the pointers in somebody's name."""
        return Publisher(self.wide_rows, utc_us, who=who, follow_up=self.announce_stale)

    def sweeper(self) -> Sweeper:
        """What deletes lineages that nobody needs."""
        owners = [owner.property_id for owner in self.properties()]
        return Sweeper(self.wide_rows, self.objects, utc_us, owners)

    def retention(self) -> RetentionSweep:
        """What takes out hits that are not to be kept any longer."""
        owners, now_us = [], utc_us()

        def noted() -> Iterator[Property]:
            for owner in self.properties():
                owners.append(owner.property_id)
                yield owner

        return RetentionSweep(
            self.wide_rows,
            self.objects,
            utc_us,
            retention=Retention.of(noted(), now_us, self.retention_days),
            known_of=self._known_of,
            property_ids=owners,
            late_us=self.late_us,
        )

    def erasure(self, owner: str, client_id: str) -> Erasure:
        """What forgets a client of a property.

        Raises:
            ValueError: when there is no such property.
        """
        known = self.property_named(owner)
        return Erasure(self.wide_rows, self.objects, utc_us, owner=known, client_id=client_id)

    def _known_of(self, measurement_ids: list[str]) -> set[str]:
        """Those that are of properties."""
        with closing(open_rules_cache(self.rules_path, role="list")) as rules:
            return set(rules.frame(measurement_ids).get_column("measurement_id"))

    def announce_stale(self) -> int:
        """Announce the hours that depend on touches which the pointers have changed; how many."""
        return StaleTouches(self.wide_rows, self.objects, self.properties()).catch_up()

    def properties(self) -> Iterator[Property]:
        """All of them, by id; no more than a page is held by this."""
        with closing(open_rules_cache(self.rules_path, role="list")) as rules:
            yield from rules.properties()

    def property_named(self, text: str) -> Property:
        """The property of a number or a measurement id.

        Raises:
            ValueError: naming some of those that there are.
        """
        with closing(open_rules_cache(self.rules_path, role="list")) as rules:
            is_number = text.isascii() and text.isdecimal() and len(text) < 17
            by_id = rules.by_property_id(int(text)) if is_number else None
            owner = by_id or rules.by_measurement_id(text)
            if owner is not None:
                return owner
            first = list(islice(rules.properties(), 6))
        some = ", ".join(f"{owner.property_id} ({owner.label})" for owner in first[:5])
        more = " and more" if len(first) > 5 else ""
        raise ValueError(
            f"property: expected a number or a measurement id, got {text!r}; "
            f"there are {some or 'none'}{more}"
        )
