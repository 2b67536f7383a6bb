"""Generations: a replay from what somebody asks for to a candidate that may be published.

Nothing here knows Dagster; its assets and ``tallymark replay`` go the same way:

    generation = open_generation(places, wish)     # draws its lineage, or goes on with it
    generation.compute("rollups", report)          # in a process of its own
    …checks…
    generation.publish()
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any

from beam_pipelines.answering import answer_announcements
from beam_pipelines.code_version import code_version
from beam_pipelines.places import Places
from beam_pipelines.replay_process import Report, run_stage
from beam_pipelines.replay_request import Replay
from beam_pipelines.reviewing import reviewed
from beam_pipelines.served_inputs import merged_inputs, request_of
from beam_pipelines.wishes import STAGES, START_SECONDS, Cost, Stage, Wish, hits_a_second
from stores.archive.clean import CleanHits, CleanManifest
from stores.archive.counts import Counts
from stores.archive.raw import RawArchive
from stores.clock import utc_us
from stores.lineages import LineageRegister
from stores.live_audits import AuditNotes, open_audit
from stores.pointers import PointerStore
from stores.reviews import Report as ReviewReport
from stores.reviews import Review
from tallymark.checks import Bounds
from tallymark.lineages import STANDING, Input, Lineage, merged_spans
from tallymark.publication import PointerDocument, RefusedError
from tallymark.replays import Plan, hour_text
from tallymark.slots import HOUR_US


class Generation:
    """One computation of hours, from its lineage on.

    Args:
        places: Where everything is.
        wish: What is asked for.
        lineage: Drawn for it, or the standing one.
    """

    def __init__(self, places: Places, wish: Wish, lineage: Lineage) -> None:
        self.places = places
        self.wish = wish
        self.lineage = lineage
        self.register = LineageRegister(places.wide_rows, utc_us)
        self.request = request_of(places, wish, lineage.name, self.register)

    @cached_property
    def replay(self) -> Replay:
        """What follows of the request for the archive as it stands."""
        return Replay(self.request)

    @property
    def plan(self) -> Plan:
        """Which hours are computed and read.

        Raises:
            UnsealedError: when the range is not sealed.
        """
        return self.replay.plan

    def clean_manifests(self) -> list[CleanManifest]:
        """What was decoded of the received hours that it depends on, so far."""
        return CleanHits(self.places.objects).manifests(
            self.lineage.name, self.replay.received_hours
        )

    def cost(self) -> Cost:
        """What it will take, by what replays took before.

        Raises:
            UnsealedError: when the range is not sealed.
            IncompleteHoursError: when a received hour is not wholly archived.
        """
        hours = self.replay.received_hours
        archive = RawArchive(self.places.objects)
        requests = sum(int(archive.blocks(hour)["requests"].sum()) for hour in hours)
        rate = hits_a_second(self.register.all().values())
        return Cost(
            target_hours=len(self.plan.targets),
            received_hours=len(hours),
            requests=requests,
            seconds=len(STAGES) * START_SECONDS + requests / rate,
        )

    def compute(self, stage: Stage, report: Report) -> dict[str, Any]:
        """Run a stage, and before it whatever of the stages before is missing.

        Returns:
            The outcome of the stage.

        Raises:
            UnsealedError: when the range is not sealed.
            IncompleteHoursError: when a received hour is not wholly archived.
            RefusedError: when it would seal hours anew that the standing lineage serves.
            ReplayFailedError: saying what was wrong and what to do; what is served stays.
        """
        self._spare_what_is_served()
        if stage == "rollups" and self._lacks_counts():
            self.compute("sessions", report)
        if stage == "sessions" and self._lacks_clean_hits():
            self.compute("clean_hits", report)
        began = time.monotonic()
        # Late hits may come in between two stages, which are to read the same hours all the same.
        pinned = replace(self.request, late_hours=tuple(self.replay.received_hours))
        outcome = run_stage(stage, pinned, report)
        seconds = time.monotonic() - began
        self.register.update(
            self.lineage.name,
            lambda held: replace(
                held,
                seconds=round(held.seconds + seconds, 3),
            ),
        )
        return outcome

    def _spare_what_is_served(self) -> None:
        """Nothing that is served is ever overwritten."""
        pointers = PointerStore(self.places.wide_rows).held().document.pointers
        if not self.wish.is_sealing:
            return
        standing = self.register.get(STANDING)
        served = [
            hour
            for hour in self.plan.targets
            if pointers.lineage_at(hour) == STANDING
            and not standing.outside_targets(hour, hour + HOUR_US)
        ]
        if served:
            raise RefusedError(
                f"{STANDING} serves {len(served)} of these hours, the first "
                f"{hour_text(served[0])}: replay them into a lineage of their own instead"
            )

    def _lacks_clean_hits(self) -> bool:
        return len(self.clean_manifests()) < len(self.replay.received_hours)

    def _lacks_counts(self) -> bool:
        manifest = self._counts.manifest()
        return manifest is None or manifest.code_version != self.replay.code_version

    @property
    def _counts(self) -> Counts:
        return Counts(self.places.objects, self.lineage.name, self.plan.targets)

    def review(
        self,
        *,
        bounds: Bounds | None = None,
        is_acknowledged: bool = False,
        report: ReviewReport | None = None,
    ) -> Review:
        """What reports would show of its targets, and whether it adds up; to be asked for before
        ``conclude``, with ``Review.adds_up`` saying whether it may become a candidate. Hours that
        are sealed are held against what was streamed of them, and what is found is noted.

        Args:
            bounds: How far it may be from what is served; ``None`` takes the default.
            is_acknowledged: Whether a change beyond them is meant.
            report: Told how far the review is.
        """
        targets = self.plan.targets
        spans = [(targets.start_us, targets.end_us)]
        wide_rows = self.places.wide_rows
        audit = None
        if self.wish.is_sealing:
            audit = open_audit(wide_rows, spans, self.places.properties())
        found = reviewed(
            self.places,
            self.lineage,
            spans,
            manifests=self.clean_manifests(),
            bounds=bounds,
            is_acknowledged=is_acknowledged,
            live_audit=audit,
            report=report,
        )
        if found.divergences is not None:
            AuditNotes(wide_rows, utc_us).note(found.divergences)
        return found

    def conclude(self, *, may_be_published: bool = True) -> Lineage:
        """Note what was computed; what was needed on the way only is removed.

        Args:
            may_be_published: Whether it has passed what it was held against. A standing lineage
                that has not is left as it was: these hours are still to be sealed.
        """
        if self.wish.is_sealing and not may_be_published:
            return self.lineage
        span, targets = self.plan.span, self.plan.targets
        read = [
            Input(start_us=hour, end_us=hour + HOUR_US, lineage=name)
            for hour, name in sorted(self.replay.inputs.items())
        ]

        manifests = self.clean_manifests()

        def concluded(held: Lineage) -> Lineage:
            is_ready = may_be_published and held.kind == "replay"
            turns = is_ready and held.state in ("computing", "withdrawn")
            return replace(
                held,
                state="candidate" if turns else held.state,
                asked=merged_spans([*held.asked, (span.start_us, span.end_us)]),
                targets=merged_spans([*held.targets, (targets.start_us, targets.end_us)]),
                inputs=merged_inputs([*held.inputs, *read]),
                code_version=self.replay.code_version,
                hits=self._hits(held, manifests),
            )

        self.lineage = self.register.update(self.lineage.name, concluded)
        self._counts.clear()
        return self.lineage

    def _hits(self, held: Lineage, manifests: Iterable[CleanManifest]) -> int:
        """How many hits the lineage has decoded, as its manifests count them, rejected ones too.

        Spans of the standing lineage share received hours, each of which is counted in its span.
        """
        is_standing = held.kind == "standing"
        fresh = sum(
            one.conservation.hits_in
            for one in manifests
            if not is_standing or one.received_hour in self.plan.span
        )
        if not is_standing:
            return fresh
        targets = self.plan.targets
        is_new = held.outside_targets(targets.start_us, targets.end_us)
        return held.hits + fresh if is_new else held.hits

    def publish(self, why: str = "") -> PointerDocument:
        """Serve what was computed: hours of live lineages if it is sealing, else all its targets.

        Raises:
            RefusedError: when it may not be published.
        """
        publisher = self.places.publisher(self.wish.who)
        targets = self.plan.targets
        span = (targets.start_us, targets.end_us)
        if self.wish.is_sealing:
            document = publisher.seal(*span)
        else:
            why = why or self.wish.why
            document = publisher.publish(self.lineage.name, spans=[span], why=why)
        answer_announcements(self.places, self.lineage, [span])
        return document


def open_generation(places: Places, wish: Wish) -> Generation:
    """The generation of a wish, in a lineage that is drawn now unless there is one to go on with.

    Raises:
        ValueError: when the property or the rules do not exist.
        UnsealedError: when the range is not sealed; nothing is drawn then.
    """
    planned = Generation(places, wish, _unnamed(wish))
    span = planned.plan.span
    register = planned.register
    facts: dict[str, Any] = {
        "who": wish.who,
        "why": wish.why,
        "property_id": wish.property_id,
        "rules": wish.rules,
        "code_version": code_version(),
    }
    if wish.is_sealing:
        return Generation(places, wish, register.standing(who="sealing", why="routine"))
    if wish.resumes:
        for lineage in register.all().values():
            is_same = all(getattr(lineage, name) == fact for name, fact in facts.items())
            if is_same and lineage.kind == "replay" and lineage.state != "swept":
                return Generation(places, wish, lineage)
    return Generation(places, wish, register.draw(**facts, asked=((span.start_us, span.end_us),)))


def planned_generation(places: Places, wish: Wish) -> Generation:
    """The generation of a wish without a lineage: what it would do, and cost.

    Raises:
        ValueError: when the property or the rules do not exist.
    """
    return Generation(places, wish, _unnamed(wish))


def _unnamed(wish: Wish) -> Lineage:
    """Stands for a lineage that is not drawn yet."""
    name = STANDING if wish.is_sealing else "gen-999999999"
    return Lineage(name=name, state="computing", created_at=0, changed_at=0)
