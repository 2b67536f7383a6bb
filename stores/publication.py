"""Publishing and rolling back: one conditional write each, decided again after a lost race."""

from collections.abc import Callable, Sequence

from stores.lineages import LineageRegister
from stores.pointers import PointerStore
from stores.wide_rows.port import WideRows
from tallymark import publication
from tallymark.lineages import STANDING, Lineage, LineageStateError, Span, kind_of
from tallymark.pointer_map import FOR_EVER
from tallymark.publication import PointerDocument, Signature


class Publisher:
    """Changes which lineage serves which hours.

    Every method raises ``WideRowsUnavailableError`` when the store does not answer; the change may
    then have been made or not. To publish or to seal again does not make it twice.

    Args:
        wide_rows: Where cells, lineages and pointers are.
        now_us: UTC µs.
        who: In whose name changes are made.
        follow_up: Called after each change, and again by whoever asks for it again.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        now_us: Callable[[], int],
        *,
        who: str,
        follow_up: Callable[[], object] = lambda: None,
    ) -> None:
        self._follow_up = follow_up
        self._now_us = now_us
        self._who = who
        self.lineages = LineageRegister(wide_rows, now_us)
        self.pointers = PointerStore(wide_rows)

    def live_lineage(self, *, shards: int) -> Lineage:
        """The live lineage that serves the hours to come, which a streaming job goes on with.

        The first of all is made and put into service here; it has read everything since ever, as
        nothing was recorded before it. Its shards stay what they were.
        """
        serving = self.pointers.held().document.pointers.lineage_at(FOR_EVER - 1)
        name = serving or "live-1"
        lineage = self.lineages.get_or_make(
            name, state="published", shards=shards, who=self._who, why="streaming"
        )
        if serving is None:
            self.serve_everywhere(name)
        return lineage

    def serve_everywhere(self, lineage: str) -> PointerDocument:
        """Let a lineage serve every hour, if no pointer map exists yet; the map in force."""
        held = self.pointers.held()
        if held.value is None:
            first = publication.serving_everywhere(lineage, self._signed("the first lineage"))
            self.pointers.replace(held, first)
        return self.pointers.held().document

    def publish(
        self,
        name: str,
        *,
        spans: Sequence[Span] = (),
        property_id: int | None = None,
        why: str = "",
    ) -> PointerDocument:
        """Let a candidate serve its target hours.

        Args:
            name: The candidate.
            spans: Some of its hours; none means all.
            property_id: For this property alone; a candidate of one property needs no other word.
            why: For the history.

        Returns:
            The document in force.

        Raises:
            UnknownLineageError: when there is no such lineage.
            RefusedError: when it is no candidate, or not for these hours or this property.
        """
        if property_id is None:
            property_id = self.lineages.get(name).property_id
        while True:
            over = self.pointers.held().document.version if property_id is not None else 0
            held = self.pointers.held(property_id)
            wanted = publication.published(
                held.document,
                self.lineages.get(name),
                self._signed(why),
                spans=spans,
                property_id=property_id,
                over=over,
            )
            try:  # before the pointers, so that a sweep and a publication never both go ahead
                self.lineages.turn(name, "published")
            except LineageStateError:
                continue  # it was swept meanwhile, which the next look refuses
            if wanted is held.document or self.pointers.replace(held, wanted, property_id):
                self.settle()
                self._follow_up()
                return wanted

    def seal(self, start_us: int, end_us: int, *, why: str = "routine") -> PointerDocument:
        """Let the standing lineage take sealed hours over from live lineages; the map in force.

        Raises:
            UnknownLineageError: when there is no standing lineage yet.
            RefusedError: when it has not computed these hours.
        """
        while True:
            held = self.pointers.held()
            standing = self.lineages.get(STANDING)
            span = (start_us, end_us)
            wanted = publication.sealed(held.document, standing, span, self._signed(why))
            if wanted is held.document or self.pointers.replace(held, wanted):
                self.settle()
                self._follow_up()
                return wanted

    def release(self, spans: Sequence[Span]) -> PointerDocument:
        """Let no live lineage serve sealed hours of which there is nothing; the map in force."""
        while True:
            held = self.pointers.held()
            wanted = publication.released(held.document, spans, self._signed("nothing came"))
            if wanted is held.document or self.pointers.replace(held, wanted):
                return wanted

    def rollback(
        self, *, property_id: int | None = None, to: int | None = None, why: str = ""
    ) -> PointerDocument:
        """Serve again what was served before.

        Args:
            property_id: Of this property's own publications; ``None`` for those of all.
            to: An earlier version; ``None`` takes the last publication back that still counts.
            why: For the history.

        Returns:
            The document in force.

        Raises:
            RefusedError: when there is nothing to roll back, or its cells are gone.
        """
        while True:
            held = self.pointers.held(property_id)
            wanted = publication.rolled_back(
                held.document,
                lambda version: self.pointers.earlier(version, property_id),
                self.lineages.all(),
                self._signed(why),
                to=to,
                least=1 if property_id is None else 0,
            )
            try:  # as in publish: what is swept meanwhile is refused at the next look
                for name in sorted(wanted.lineages):
                    if kind_of(name) == "replay":
                        self.lineages.turn(name, "published")
            except LineageStateError:
                continue
            if self.pointers.replace(held, wanted, property_id):
                self.settle()
                self._follow_up()
                return wanted

    def settle(self) -> None:
        """Let the states in the register say what the pointers do: who serves, who does not.

        The pointers are the truth; a change of them that ended before this is settled by the next.
        """
        serving = {
            name for document in self.pointers.everyone().values() for name in document.lineages
        }
        for name, lineage in self.lineages.all().items():
            if lineage.kind == "live":
                continue
            if name in serving:
                self.lineages.turn(name, "published")
            elif lineage.kind == "replay" and lineage.state == "published":
                self.lineages.turn(name, "withdrawn", expected=("published",))

    def _signed(self, why: str) -> Signature:
        return Signature(who=self._who, at_us=self._now_us(), why=why)
