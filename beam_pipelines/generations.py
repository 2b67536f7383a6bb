"""Generations: a replay from what somebody asks for to a candidate that may be published.

Nothing here knows Dagster; its assets and ``tallymark replay`` go the same way:

    generation = open_generation(places, wish)     # draws its lineage, or goes on with it
    generation.compute("rollups", report)          # in a process of its own
    …checks…
    generation.publish()
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from beam_pipelines.code_version import code_version
from beam_pipelines.replay_process import Report, run_stage
from beam_pipelines.replay_request import Replay, ReplayRequest
from stores.announcements import STALE, Announcements
from stores.archive.clean import CleanHits, CleanManifest
from stores.archive.counted_touches import pinned_versions
from stores.archive.counts import Counts
from stores.archive.opening import open_objects
from stores.archive.port import Objects
from stores.archive.raw import RawArchive
from stores.clock import utc_us
from stores.lineages import LineageRegister
from stores.live_audits import AuditNotes, open_audit
from stores.pointers import PointerStore
from stores.publication import Publisher
from stores.reviews import Report as ReviewReport
from stores.reviews import Review, review
from stores.rules_cache.file import FileRulesCache
from stores.source_changes import changed_sources
from stores.stale_touches import StaleTouches, is_covered
from stores.sweeping import Sweeper
from stores.wide_rows.opening import open_wide_rows
from stores.wide_rows.port import WideRows
from tallymark.checks import Bounds
from tallymark.divergences import LiveAudit
from tallymark.lineages import STANDING, Input, Lineage, clean_sources, merged_spans
from tallymark.pointer_map import PointerMap
from tallymark.properties import Property
from tallymark.publication import PointerDocument, RefusedError
from tallymark.replays import LONGEST_LATE_US, Plan, Span, hour_text, on_time_hours
from tallymark.rules_choice import AS_RECEIVED
from tallymark.slots import HOUR_US, LATE_US

Stage = Literal["clean_hits", "sessions", "rollups"]
STAGES: Final[tuple[Stage, ...]] = ("clean_hits", "sessions", "rollups")
START_SECONDS: Final = 4.0
"""What a process takes until it works."""
FIRST_GUESS_HITS_A_SECOND: Final = 50_000.0


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where everything is.

    Attributes:
        archive_url: For ``stores.archive.opening``.
        wide_rows_url: For ``stores.wide_rows.opening``.
        rules_path: The file that ``stores.rules_cache`` reads.
        late_us: D.
    """

    archive_url: str
    wide_rows_url: str
    rules_path: str
    late_us: int = LATE_US

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

    def announce_stale(self) -> int:
        """Announce the hours that depend on touches which the pointers have changed; how many."""
        return StaleTouches(self.wide_rows, self.objects, self.properties()).catch_up()

    def properties(self) -> list[Property]:
        """All of them."""
        return FileRulesCache(Path(self.rules_path)).properties()

    def property_named(self, text: str) -> Property:
        """The property of a number or a measurement id.

        Raises:
            ValueError: naming some of those that there are.
        """
        known = self.properties()
        for owner in known:
            if text in (str(owner.property_id), owner.measurement_id):
                return owner
        some = ", ".join(f"{owner.property_id} ({owner.measurement_id})" for owner in known[:5])
        raise ValueError(
            f"property: expected a number or a measurement id, got {text!r}; "
            f"there are {len(known)}: {some or 'none'}"
        )


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A replay as somebody asks for it.

    Attributes:
        start_us: UTC µs; the range is aligned outward to L.
        end_us: UTC µs.
        who: Who asks.
        why: What for.
        resumes: Whether to go on with the lineage that was drawn for the same who and why.
        property_id: This property alone; ``None`` means all.
        rules: ``as-received``, ``latest`` or the number of a version.
        is_sealing: Extend the standing lineage by this range.
        only_range: Recompute the hours of the range alone, not those that share a window with it.
        runner: Name of a Beam runner.
        runner_options: Options for it.
    """

    start_us: int
    end_us: int
    who: str
    why: str = ""
    resumes: bool = False
    property_id: int | None = None
    rules: str = AS_RECEIVED
    is_sealing: bool = False
    only_range: bool = False
    runner: str = "DirectRunner"
    runner_options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a replay will take.

    Attributes:
        target_hours: Hours that are recomputed.
        received_hours: Received hours that are read.
        requests: In all of them.
        seconds: About how long it takes.
    """

    target_hours: int
    received_hours: int
    requests: int
    seconds: float


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
        self.request = _request(places, wish, lineage.name, self.register)

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
        outcome = run_stage(stage, self.request, report)
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


def reviewed(
    places: Places,
    lineage: Lineage,
    spans: Sequence[tuple[int, int]],
    *,
    manifests: Iterable[CleanManifest] | None = None,
    property_ids: Iterable[int] | None = None,
    against: str = "",
    bounds: Bounds | None = None,
    is_acknowledged: bool = False,
    live_audit: LiveAudit | None = None,
    report: ReviewReport | None = None,
) -> Review:
    """A lineage held against what is served, against itself, and against what it was made of.

    Args:
        places: Where everything is.
        lineage: Which.
        spans: Hours (UTC µs) that it has computed.
        manifests: Of the clean hits it was computed from; ``None`` takes all of its own.
        property_ids: Of these alone; ``None`` takes all that it computed.
        against: A lineage to compare with in place of what is served.
        bounds: How far it may be from what is served; ``None`` takes the default.
        is_acknowledged: Whether a change beyond them is meant.
        live_audit: Holds it against what live lineages serve; ``None`` leaves it out.
        report: Told how far the review is.
    """
    if manifests is None:
        clean = CleanHits(places.objects)
        manifests = clean.manifests(lineage.name, clean.received_hours(lineage.name))
    if property_ids is None and lineage.property_id is not None:
        property_ids = [lineage.property_id]
    if property_ids is None:
        property_ids = [owner.property_id for owner in places.properties()]
    property_ids = list(property_ids)
    return review(
        places.wide_rows,
        lineage.name,
        spans,
        property_ids,
        sources=changed_sources(
            places.wide_rows, places.objects, lineage.name, spans, property_ids, against=against
        ),
        counts={one.received_hour: one.conservation for one in manifests},
        against=against,
        bounds=bounds,
        is_acknowledged=is_acknowledged,
        live_audit=live_audit,
        report=report,
    )


def answer_announcements(
    places: Places, lineage: Lineage, spans: Sequence[tuple[int, int]]
) -> None:
    """Note that the late hits of all received hours that a lineage has decoded are counted in,
    and by which touches.

    Args:
        places: Where everything is.
        lineage: Which serves these hours now.
        spans: Hours, UTC µs.
    """
    archive, announcements = RawArchive(places.objects), Announcements(places.wide_rows)
    decoded = CleanHits(places.objects).received_hours(lineage.name)
    for first_us, end_us in spans:
        told = announcements.outstanding(first_us, end_us).values()
        if not told:
            continue
        blocks = {
            f"{spool}-{number:010d}".encode()
            for hour in decoded
            if first_us <= hour < end_us + 2 * LONGEST_LATE_US
            for spool, number in archive.blocks(hour).select("spool_id", "number").iter_rows()
        }
        announcements.answer(
            first_us, end_us, blocks, version=utc_us(), property_id=lineage.property_id
        )
    for span in spans:
        _answer_stale(places, lineage, Span(*span))


def _answer_stale(places: Places, lineage: Lineage, hours: Span) -> None:
    """Answer what was announced by pointers that the lineage has counted by, or older ones."""
    announcements = Announcements(places.wide_rows, STALE)
    pinned = pinned_versions(places.objects, lineage.name, hours)
    told: dict[int, set[bytes]] = {}
    for (owner, _), names in announcements.outstanding(hours.start_us, hours.end_us).items():
        told.setdefault(owner, set()).update(names)
    for owner, names in told.items():
        if not pinned or lineage.property_id not in (None, owner):
            continue
        answered = {
            name for name in names if all(is_covered(name, owner, versions) for versions in pinned)
        }
        announcements.answer(
            hours.start_us, hours.end_us, answered, version=utc_us(), property_id=owner
        )


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


def hits_a_second(lineages: Iterable[Lineage]) -> float:
    """How fast replays were so far that took longer than their processes take to start."""
    working = [
        (lineage.hits, lineage.seconds - len(STAGES) * START_SECONDS)
        for lineage in lineages
        if lineage.hits and lineage.seconds > 2 * len(STAGES) * START_SECONDS
    ]
    if not working:
        return FIRST_GUESS_HITS_A_SECOND
    return sum(hits for hits, _ in working) / sum(seconds for _, seconds in working)


def merged_inputs(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """The same hours in ascending disjoint inputs; of two for one hour the later given counts."""
    by_hour = {
        hour: part.lineage for part in inputs for hour in range(part.start_us, part.end_us, HOUR_US)
    }
    merged: list[Input] = []
    for hour, lineage in sorted(by_hour.items()):
        last = merged[-1] if merged else None
        if last and (last.end_us, last.lineage) == (hour, lineage):
            merged[-1] = replace(last, end_us=hour + HOUR_US)
        else:
            merged.append(Input(start_us=hour, end_us=hour + HOUR_US, lineage=lineage))
    return tuple(merged)


def _unnamed(wish: Wish) -> Lineage:
    """Stands for a lineage that is not drawn yet."""
    name = STANDING if wish.is_sealing else "gen-999999999"
    return Lineage(name=name, state="computing", created_at=0, changed_at=0)


def _request(places: Places, wish: Wish, lineage: str, register: LineageRegister) -> ReplayRequest:
    owner = None if wish.property_id is None else places.property_named(str(wish.property_id))
    bare = ReplayRequest(
        lineage=lineage,
        start_us=wish.start_us,
        end_us=wish.end_us,
        archive_url=places.archive_url,
        wide_rows_url=places.wide_rows_url,
        rules_path=places.rules_path,
        is_sealing=wish.is_sealing or wish.only_range,
        measurement_ids=None if owner is None else (owner.measurement_id,),
        rules=wish.rules,
        late_us=places.late_us,
        runner=wish.runner,
        runner_options=wish.runner_options,
    )
    plan = Replay(bare).plan
    served = _Served(places, register)
    return replace(bare, inputs=served.inputs(plan, owner), overrides=served.overrides(plan, owner))


class _Served:
    """Whose clean hits stand for the hours outside of a range, as they are served."""

    def __init__(self, places: Places, register: LineageRegister) -> None:
        self._clean = CleanHits(places.objects)
        self._late_us = places.late_us
        self._lineages = register.all()
        documents = PointerStore(places.wide_rows).everyone()
        self._everywhere = documents[None].pointers
        self._overrides = {
            owner: held.pointers for owner, held in documents.items() if owner is not None
        }
        self._owners = {owner.property_id: owner for owner in places.properties()}

    def inputs(self, plan: Plan, owner: Property | None) -> tuple[tuple[int, str], ...]:
        """(event hour, lineage) for the properties replayed."""
        return tuple(sorted(self._sources(plan, owner).items()))

    def overrides(self, plan: Plan, owner: Property | None) -> tuple[tuple[int, int, str], ...]:
        """(property id, event hour, lineage) where that is not so for single properties."""
        if owner is not None:
            return ()
        everyone = self._sources(plan, None)
        return tuple(
            (property_id, hour, lineage)
            for property_id in sorted(self._overrides.keys() & self._owners.keys())
            for hour, lineage in sorted(self._sources(plan, self._owners[property_id]).items())
            if everyone.get(hour) != lineage
        )

    def _sources(self, plan: Plan, owner: Property | None) -> dict[int, str]:
        served = self._everywhere
        if owner is not None:
            served = served.overridden_by(self._overrides.get(owner.property_id, PointerMap()))
        window = (plan.window.start_us, plan.window.end_us)
        return {
            hour: part.lineage
            for part in clean_sources(served, self._lineages, *window)
            for hour in Span(part.start_us, part.end_us)
            if hour not in plan.span and self._holds(part.lineage, hour, owner)
        }

    def _holds(self, lineage: str, hour: int, owner: Property | None) -> bool:
        received = on_time_hours(Span(hour, hour + HOUR_US), self._late_us)
        manifests = self._clean.manifests(lineage, received)
        asked = None if owner is None else owner.measurement_id
        return len(manifests) == len(received) and all(
            hour not in manifest.not_held
            and (manifest.measurement_ids is None or asked in manifest.measurement_ids)
            for manifest in manifests
        )
