"""The register of lineages: a document for each, changed by conditional writes only."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from stores.wide_rows.port import WideRows
from tallymark.lineages import STANDING, Lineage, LineageStateError, State, decode
from tallymark.row_keys import LINEAGES_KEY


class UnknownLineageError(LookupError):
    """No lineage of this name is in the register."""


class LineageRegister:
    """The lineages of one store of wide rows. Processes may share it.

    Every method raises ``WideRowsUnavailableError`` when the store does not answer; a write may
    then have been done or not, and each may be called again.

    Args:
        wide_rows: Where the documents are.
        now_us: UTC µs.
    """

    def __init__(self, wide_rows: WideRows, now_us: Callable[[], int]) -> None:
        self._wide_rows = wide_rows
        self._now_us = now_us

    def all(self) -> dict[str, Lineage]:
        """Every lineage by name, generations before live ones, by number."""
        found = [decode(value) for value in self._documents().values()]
        ordered = sorted(found, key=lambda each: (each.kind == "live", each.number))
        return {each.name: each for each in ordered}

    def get(self, name: str) -> Lineage:
        """One lineage.

        Raises:
            UnknownLineageError: naming those that there are.
        """
        return decode(self._document(name))

    def draw(self, series: Literal["gen", "live"] = "gen", **facts: Any) -> Lineage:
        """A new lineage with the next number of its series; no two callers get the same.

        Args:
            series: ``gen`` for a replay, ``live`` for a streaming job.
            facts: Fields of ``Lineage``; the state is ``computing`` if they name no other.
        """
        while True:
            taken = [each.number for each in self.all().values() if each.name.startswith(series)]
            number = max([0, *taken]) + 1
            made = self._make(f"{series}-{number}", facts)
            if made is not None:
                return made

    def standing(self, **facts: Any) -> Lineage:
        """``gen-0``, made with ``facts`` if it is not there."""
        return self.get_or_make(STANDING, **facts)

    def get_or_make(self, name: str, **facts: Any) -> Lineage:
        """The lineage of a name, made with ``facts`` if it is not there."""
        try:
            return self.get(name)
        except UnknownLineageError:
            return self._make(name, facts) or self.get(name)

    def update(self, name: str, change: Callable[[Lineage], Lineage]) -> Lineage:
        """Change a lineage's document, again from its newest where another was quicker.

        Args:
            name: Which one.
            change: From the document held to the one wanted; what it raises is raised. The same
                document means that there is nothing to write.

        Raises:
            UnknownLineageError: when there is none.
        """
        while True:
            held_value = self._document(name)
            held = decode(held_value)
            wanted = change(held)
            if wanted == held:
                return held
            # A document's version in the store is the time of its change, and ascends.
            wanted = replace(wanted, changed_at=max(self._now_us(), held.changed_at + 1))
            if self._put(wanted, expected=held_value):
                return wanted

    def turn(self, name: str, state: State, *, expected: tuple[State, ...] = ()) -> Lineage:
        """Set a lineage's state.

        Args:
            name: Which one.
            state: The state wanted; nothing is written where it is so already.
            expected: States from which alone it may be set; none leaves it to ``State``.

        Raises:
            UnknownLineageError: when there is none.
            LineageStateError: when it is in another state than expected.
        """

        def turned(held: Lineage) -> Lineage:
            if expected and held.state not in (*expected, state):
                wanted = " or ".join(expected)
                raise LineageStateError(f"{name}: expected the state {wanted}, got {held.state}")
            return held.turned(state)

        return self.update(name, turned)

    def _make(self, name: str, facts: dict[str, Any]) -> Lineage | None:
        now_us = self._now_us()
        settled: dict[str, Any] = {"state": "computing", **facts}
        made = Lineage(name=name, created_at=now_us, changed_at=now_us, **settled)
        return made if self._put(made, expected=None) else None

    def _put(self, lineage: Lineage, expected: bytes | None) -> bool:
        return self._wide_rows.compare_and_set(
            LINEAGES_KEY,
            lineage.name.encode(),
            expected=expected,
            value=lineage.encode(),
            version=lineage.changed_at,
        )

    def _document(self, name: str) -> bytes:
        documents = self._documents()
        if name.encode() not in documents:
            known = ", ".join(sorted(key.decode() for key in documents)) or "none"
            raise UnknownLineageError(f"there is no lineage {name!r}; there are: {known}")
        return documents[name.encode()]

    def _documents(self) -> dict[bytes, bytes]:
        rows = self._wide_rows.read_rows([LINEAGES_KEY], ("c",))
        return dict(rows.select("qualifier", "value").iter_rows())
