"""Inputs of a replay: whose clean hits stand for the hours around its range."""

from collections.abc import Iterable
from dataclasses import replace

from beam_pipelines.places import Places
from beam_pipelines.replay_request import Replay, ReplayRequest
from beam_pipelines.wishes import Wish
from stores.archive.clean import CleanHits
from stores.archive.raw import RawArchive
from stores.lineages import LineageRegister
from stores.pointers import PointerStore
from tallymark.lineages import Input, clean_sources
from tallymark.pointer_map import PointerMap
from tallymark.properties import Property
from tallymark.replays import Plan, Span, on_time_hours
from tallymark.slots import HOUR_US


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


def request_of(
    places: Places, wish: Wish, lineage: str, register: LineageRegister
) -> ReplayRequest:
    """What a replay into a lineage is told: what somebody asks for, and what lies around it.

    What is sealed now is sealed for all its stages, however long they take.
    """
    owner = None if wish.property_id is None else places.property_named(str(wish.property_id))
    bare = ReplayRequest(
        lineage=lineage,
        start_us=wish.start_us,
        end_us=wish.end_us,
        archive_url=places.archive_url,
        wide_rows_url=places.wide_rows_url,
        rules_path=places.rules_path,
        is_sealing=wish.is_sealing or wish.only_range,
        measurement_ids=None if owner is None else owner.measurement_ids,
        rules=wish.rules,
        late_us=places.late_us,
        clock_us=RawArchive(places.objects).clock(),
        runner=wish.runner,
        runner_options=wish.runner_options,
    )
    plan = Replay(bare).plan
    served = ServedInputs(places, register)
    return replace(bare, inputs=served.inputs(plan, owner), overrides=served.overrides(plan, owner))


class ServedInputs:
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
        asked = set() if owner is None else set(owner.measurement_ids)
        return len(manifests) == len(received) and all(
            hour not in manifest.not_held
            and (
                manifest.measurement_ids is None
                or (owner is not None and asked <= set(manifest.measurement_ids))
            )
            for manifest in manifests
        )
