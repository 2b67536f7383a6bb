"""What a replay is told, and what follows of it for the archive as it stands."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Final

import orjson

from beam_pipelines.code_version import code_version
from beam_pipelines.late_hours import received_hours_with_late_hits
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.archive.removed_hours import gone_streams, removed_hours
from stores.rules_cache.opening import open_rules_cache
from stores.rules_cache.port import RulesCache
from tallymark.properties import Property, properties_frame
from tallymark.replays import Plan, Span, aligned, hour_text, on_time_hours, plan
from tallymark.rules_choice import AS_RECEIVED, RulesChoice
from tallymark.slots import HOUR_US, LATE_US

REQUESTS_A_TASK: Final = 50_000
HITS_A_PASS: Final = 500_000
DEFAULT_GAP_SECONDS: Final = 1_800
_PAGE: Final = 1_000


class IncompleteHoursError(Exception):
    """Received hours that are not, or not wholly, archived.

    Attributes:
        missing: What is missing in each of them (UTC µs).
    """

    def __init__(self, missing: dict[int, str]) -> None:
        shown = [f"{hour_text(hour)}: {what}" for hour, what in sorted(missing.items())[:5]]
        more = f" … and {len(missing) - 5} hours more" if len(missing) > 5 else ""
        super().__init__(
            f"expected complete received hours, {len(missing)} are not: {'; '.join(shown)}{more}. "
            "Wait until the archiver has caught up; a spool of a collector that is gone for good "
            "has to be closed by its shipper first. What is served stays as it is"
        )
        self.missing = missing


class RequestsGoneError(IncompleteHoursError):
    """Received hours whose recorded requests retention has taken, in part or whole."""

    def __init__(self, missing: dict[int, str]) -> None:
        super().__init__(missing)
        first, last = min(missing), max(missing)
        self.args = (
            f"expected received hours whose recorded requests are kept, {len(missing)} are not: "
            f"from {hour_text(first)}, {missing[first]}, to {hour_text(last)}, {missing[last]}. "
            "Counted again they would come to less. Replay hours that begin later, or a property "
            "alone that keeps its hits for longer. What is served stays as it is",
        )


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """A replay as somebody asks for it.

    Attributes:
        lineage: Where it writes: ``gen-0`` for routine sealing, else a number of its own.
        start_us: UTC µs; the range is aligned outward to L.
        end_us: UTC µs.
        archive_url: For ``stores.archive.open_objects``.
        wide_rows_url: For ``stores.wide_rows.open_wide_rows``.
        rules_path: The file or the service of the rules, for ``stores.rules_cache.opening``.
        is_sealing: Routine sealing: only the hours of the range itself are recomputed.
        measurement_ids: Replay only the properties of these; None means all.
        rules: ``as-received``, ``latest`` or the number of a version, for hits of the range.
        inputs: (event hour UTC µs, lineage): whose clean hits stand for hours outside of the
            range. Hours that are not named are decoded from the raw archive.
        overrides: (property id, event hour, lineage): the same for single properties that another
            lineage serves.
        late_hours: Received hours with late hits of the window; None finds them by announcements
            and by what ``gen-0`` has decoded.
        late_us: D, the lateness that is on time.
        clock_us: UTC µs through which everything is archived; None asks the archive.
        is_clean_kept: Whether clean hits of this lineage that the same code made under the same
            rules are used again.
        requests_a_task: Requests that are decoded at a time.
        hits_a_pass: About how many hits are counted at a time; bounds the memory.
        runner: Name of a Beam runner.
        runner_options: Options for it, as on a command line.
    """

    lineage: str
    start_us: int
    end_us: int
    archive_url: str
    wide_rows_url: str
    rules_path: str
    is_sealing: bool = False
    measurement_ids: tuple[str, ...] | None = None
    rules: str = AS_RECEIVED
    inputs: tuple[tuple[int, str], ...] = ()
    overrides: tuple[tuple[int, int, str], ...] = ()
    late_hours: tuple[int, ...] | None = None
    late_us: int = LATE_US
    clock_us: int | None = None
    is_clean_kept: bool = True
    requests_a_task: int = REQUESTS_A_TASK
    hits_a_pass: int = HITS_A_PASS
    runner: str = "DirectRunner"
    runner_options: tuple[str, ...] = ()


def encode_request(request: ReplayRequest) -> bytes:
    """A request as JSON, for a process of its own."""
    return orjson.dumps(asdict(request))


def decode_request(content: bytes) -> ReplayRequest:
    """The request in JSON of ``encode_request``.

    Raises:
        ValueError: when it is none.
    """
    try:
        facts = orjson.loads(content)
        ids, late = facts.pop("measurement_ids", None), facts.pop("late_hours", None)
        return ReplayRequest(
            measurement_ids=None if ids is None else tuple(ids),
            late_hours=None if late is None else tuple(late),
            inputs=tuple((hour, lineage) for hour, lineage in facts.pop("inputs", ())),
            overrides=tuple(tuple(one) for one in facts.pop("overrides", ())),
            runner_options=tuple(facts.pop("runner_options", ())),
            **facts,
        )
    except (orjson.JSONDecodeError, TypeError, AttributeError) as error:
        raise ValueError(f"expected a replay request as JSON: {error}") from error


class Replay:
    """A replay of the archive as it stands; looks things up once.

    Args:
        request: What is asked for.

    Raises:
        RulesChoiceError: when the rules asked for do not exist.
    """

    def __init__(self, request: ReplayRequest) -> None:
        self.objects = open_objects(request.archive_url)
        self.archive = RawArchive(self.objects)
        self.code_version = code_version()
        self.choice = RulesChoice(request.rules)
        self.request = request
        self.property_ids: tuple[int, ...] | None = None
        """The properties that are replayed; None means all."""
        with closing(open_rules_cache(request.rules_path, role="replay")) as rules:
            if request.measurement_ids is None:
                self._take_in(rules.properties())
            else:
                self._choose(rules, request.measurement_ids)

    def _choose(self, rules: RulesCache, asked: tuple[str, ...]) -> None:
        rules.frame(asked)  # all of them are looked up together
        found = {one: rules.by_measurement_id(one) for one in asked}
        unknown = sorted(one for one, owner in found.items() if owner is None)
        if unknown:
            raise ValueError(
                f"measurement ids: expected ids of properties, got {', '.join(unknown)}; "
                "`tallymark property list` names those there are"
            )
        owners = {owner.property_id: owner for owner in found.values() if owner is not None}
        chosen = [owners[property_id] for property_id in sorted(owners)]
        self._take_in(chosen)
        self.property_ids = tuple(sorted(owners))
        # A property's reports hold all its data streams, so all of them are replayed.
        whole = tuple(one for owner in chosen for one in owner.measurement_ids)
        self.request = replace(self.request, measurement_ids=whole)

    def _take_in(self, owners: Iterable[Property]) -> None:
        """Look at properties, a page of them at a time: there may be a million."""
        left = iter(owners)
        gaps: set[int] = set()
        while page := list(islice(left, _PAGE)):
            self.choice.check(properties_frame(page))
            gaps |= {version.rules.session_gap_seconds for one in page for version in one.versions}
        self._session_gap_seconds = max(gaps, default=DEFAULT_GAP_SECONDS)

    @property
    def span(self) -> Span:
        """The event hours that its code and rules are applied to, aligned to L."""
        return aligned(self.request.start_us, self.request.end_us)

    @cached_property
    def plan(self) -> Plan:
        """Which hours are computed and read.

        Raises:
            UnsealedError: when the range is not sealed.
        """
        request = self.request
        return plan(
            request.start_us,
            request.end_us,
            clock_us=self.archive.clock() if request.clock_us is None else request.clock_us,
            session_gap_us=self._session_gap_seconds * 1_000_000,
            late_us=request.late_us,
            is_sealing=request.is_sealing,
        )

    @cached_property
    def inputs(self) -> dict[int, str]:
        """The other lineages whose clean hits stand for hours of the window."""
        window, span = self.plan.window, self.plan.span
        return {
            hour: lineage
            for hour, lineage in self.request.inputs
            if lineage != self.request.lineage and hour in window and hour not in span
        }

    @cached_property
    def decoded_hours(self) -> list[int]:
        """The event hours of the window whose hits this replay decodes itself."""
        return [hour for hour in self.plan.window if hour not in self.inputs]

    @cached_property
    def received_hours(self) -> list[int]:
        """The received hours that have to be decoded, ascending.

        Raises:
            IncompleteHoursError: when one is not wholly archived.
            RequestsGoneError: when requests of one are not kept any more.
        """
        self.check_kept(on_time_hours(self.plan.window, self.request.late_us))
        on_time = {
            received
            for hour in self.decoded_hours
            for received in on_time_hours(Span(hour, hour + HOUR_US), self.request.late_us)
        }
        hours = sorted(on_time)
        self.check_complete(hours)
        late = self._late_hours()
        return sorted(on_time | (late - set(self.archive.incomplete(late))))

    def _late_hours(self) -> set[int]:
        if self.request.late_hours is not None:
            return set(self.request.late_hours)
        return received_hours_with_late_hits(
            self.objects, self.request.wide_rows_url, self.decoded_hours, self.property_ids,
            self.request.late_us,
        )  # fmt: skip

    def check_kept(self, received_hours: Iterable[int]) -> None:
        """See that no requests of received hours are gone that it would count.

        Raises:
            RequestsGoneError: naming the hours, and whose requests are gone.
        """
        hours, through_us = list(received_hours), removed_hours(self.objects).through_us
        missing = {hour: "all requests" for hour in hours if hour < through_us}
        asked = self.request.measurement_ids
        for hour, gone in gone_streams(self.objects, hours).items():
            concerned = sorted(gone if asked is None else gone.intersection(asked))
            if concerned and hour not in missing:
                missing[hour] = f"those of {', '.join(concerned[:3])}"
        if missing:
            raise RequestsGoneError(missing)

    def check_complete(self, received_hours: list[int]) -> None:
        """See that received hours are archived.

        Raises:
            IncompleteHoursError: naming what is missing.
        """
        missing = self.archive.incomplete(received_hours)
        if missing:
            raise IncompleteHoursError(missing)
