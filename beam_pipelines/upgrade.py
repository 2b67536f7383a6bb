"""Upgrade: the steps by which newer code takes over streaming (see ``beam_pipelines.handover``)."""

import getpass
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from beam_pipelines import workers
from beam_pipelines.code_version import code_version
from beam_pipelines.handover import (
    Pursuit,
    caught_up_candidate,
    controls,
    heir_of,
    reached,
)
from stores.bus.port import HITS_TOPIC, Subscriber
from stores.bus.pubsub import BusAddress, PubSubSubscriber
from stores.clock import utc_us
from stores.publication import Publisher
from stores.wide_rows.port import WideRows
from tallymark.lineages import Lineage, LineageStateError
from tallymark.publication import PointerDocument
from tallymark.slots import HOUR_US

READS_BACK_US: Final = 24 * HOUR_US
"""An heir reads so far back: enough for the windows of all hours that can still change."""
WITHDRAW_SECONDS: Final = 120.0
"""So long the job that serves may take to see its heir, write what it holds and withdraw."""
REACH_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.5


class UpgradeFailedError(Exception):
    """The heir did not take over; the lineage before it goes on."""


@dataclass
class Upgrade:
    """One takeover, step by step: ``catch_up``, ``take_over``, ``publish``, or ``abandon``.

    Attributes:
        serving: The lineage that serves the hours to come.
        heir: The one that is to.
    """

    publisher: Publisher
    wide_rows: WideRows
    bus: Subscriber
    serving: Lineage
    heir: Lineage
    why: str

    @classmethod
    def of(cls, *, wide_rows_url: str, bus_url: str, shards: int | None, why: str) -> "Upgrade":
        """Begin one, or go on with one that was killed while its heir was catching up."""
        wide_rows = workers.wide_rows(wide_rows_url)
        publisher = Publisher(wide_rows, utc_us, who=getpass.getuser())
        serving = publisher.live_lineage(shards=shards or 2)
        bus = PubSubSubscriber(BusAddress.parse(bus_url))
        heir = heir_of(serving, publisher.lineages)
        version = code_version()
        if heir is not None and heir.code_version != version:
            publisher.lineages.turn(heir.name, "withdrawn")  # of code that is replaced already
            heir = None
        if heir is None:
            heir = publisher.lineages.draw(
                "live",
                shards=shards or serving.shards,
                reads_whole_from=utc_us() - READS_BACK_US,
                code_version=version,
                who=getpass.getuser(),
                why=why,
            )
        bus.ensure_subscription(heir.subscription, HITS_TOPIC)
        return cls(publisher, wide_rows, bus, serving, heir, why)

    @property
    def first_hour(self) -> str:
        """The first hour that the heir serves."""
        start_us = self.heir.targets[0][0]
        return datetime.fromtimestamp(start_us / 1e6, UTC).strftime("%Y-%m-%dT%H")

    def catch_up(
        self,
        show: Callable[[str, float], None],
        check: Callable[[], None],
        *,
        give_up_seconds: float,
    ) -> None:
        """Wait until the heir includes what was served just now, and make it a candidate.

        Args:
            show: Told the stage and the share that is done.
            check: Raises when the heir's job has ended.
            give_up_seconds: How long it may take.

        Raises:
            UpgradeFailedError: when it has not caught up in time.
        """
        self._wait(
            Pursuit(self.wide_rows, self.heir, self.serving).is_close,
            check,
            seconds=give_up_seconds,
            what=f"{self.heir.name} to catch up with {self.serving.name}",
            meanwhile=lambda: show("catching up", self._share_read()),
        )
        show("catching up", 1.0)
        self.heir = caught_up_candidate(self.wide_rows, self.publisher.lineages, self.heir)

    def take_over(self, check: Callable[[], None]) -> None:
        """Wait until the job that serves has withdrawn and the heir includes its last words.

        Raises:
            UpgradeFailedError: when either does not happen in time.
        """
        self._wait(
            lambda: self.publisher.lineages.get(self.serving.name).state == "withdrawn",
            check,
            seconds=WITHDRAW_SECONDS,
            what=f"the job of {self.serving.name} to withdraw (does it run?)",
        )
        self._wait(
            lambda: reached(self.wide_rows, self.heir, self.serving),
            check,
            seconds=REACH_SECONDS,
            what=f"{self.heir.name} to include the last blocks of {self.serving.name}",
        )

    def publish(self) -> PointerDocument:
        """Let the heir, whose job has been stopped and saved, serve the hours to come.

        Raises:
            UpgradeFailedError: when the job that had withdrawn has lost patience.
        """
        try:
            self.publisher.lineages.turn(self.heir.name, "published", expected=("candidate",))
        except LineageStateError as error:
            raise UpgradeFailedError(str(error)) from error
        document = self.publisher.publish(self.heir.name, why=self.why)
        self.bus.delete_subscription(self.serving.subscription)
        return document

    def abandon(self) -> None:
        """Leave the lineage that serves in its place; it goes on by itself."""
        try:
            self.publisher.lineages.turn(
                self.heir.name, "withdrawn", expected=("computing", "candidate")
            )
        except LineageStateError:
            return  # it is published: nothing is left to be undone
        self.bus.delete_subscription(self.heir.subscription)

    def _share_read(self) -> float:
        begun = self.heir.reads_whole_from
        mine = [control.vector.published for control in controls(self.wide_rows, self.heir)]
        theirs = [control.vector.published for control in controls(self.wide_rows, self.serving)]
        whole = max(theirs, default=begun) - begun
        return max(0.0, min(1.0, (min(mine, default=begun) - begun) / whole)) if whole > 0 else 0.0

    def _wait(
        self,
        holds: Callable[[], bool],
        check: Callable[[], None],
        *,
        seconds: float,
        what: str,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        until = time.monotonic() + seconds
        while not holds():
            check()
            meanwhile()
            if time.monotonic() > until:
                raise UpgradeFailedError(f"waited {seconds:.0f} s in vain for {what}")
            time.sleep(PAUSE_SECONDS)
