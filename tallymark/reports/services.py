"""Report services: what is asked of the time before a visit, and what of the visit itself.

Both are the same engine with other names: *acquisition* answers how visitors came, *behaviour* what
they did. A process may answer one of them alone, so that each can be deployed by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from tallymark.dimensions import Category, Dimension
from tallymark.report_names import ReportNames
from tallymark.reports.problems import InvalidRequestError
from tallymark.reports.request import ReportRequest

ServiceName = Literal["acquisition", "behaviour"]

_OF_BOTH: Final[frozenset[Category]] = frozenset(("Time", "User", "Custom"))
_CATEGORIES: Final[Mapping[ServiceName, frozenset[Category]]] = {
    "acquisition": frozenset(("Traffic Source",)),
    "behaviour": frozenset(
        ("Page / Screen", "Event", "Platform / Device", "Geography", "Ecommerce", "General")
    ),
}
_ALSO: Final[Mapping[str, ServiceName]] = {"landingPage": "acquisition"}
"""Dimensions that a service answers beside its categories."""
SERVICES: Final[tuple[ServiceName, ...]] = ("acquisition", "behaviour")
_TITLES: Final[Mapping[ServiceName, str]] = {
    "acquisition": "User Acquisition: before the visit",
    "behaviour": "User Behaviour: during the visit",
}


@dataclass(frozen=True)
class Services:
    """Those that a process answers.

    Attributes:
        names: All of them, or some.
    """

    names: tuple[ServiceName, ...] = SERVICES

    @property
    def is_all(self) -> bool:
        """Whether every report can be asked for, those of both services together too."""
        return set(self.names) == set(SERVICES)

    def answers(self, dimension: Dimension) -> bool:
        """Whether reports may name a dimension."""
        return dimension.category in _OF_BOTH or bool(set(self.names) & set(services_of(dimension)))

    def of(self, names: ReportNames) -> ReportNames:
        """Those of the names that can be asked for here."""
        if self.is_all:
            return names
        own = {name: each for name, each in names.dimensions.items() if self.answers(each)}
        return ReportNames(own, names.metrics)

    def check(self, request: ReportRequest) -> None:
        """Refuse a report of another service.

        Raises:
            InvalidRequestError: with the dimensions that are answered elsewhere, and where.
        """
        asked = (*request.dimensions, *request.filter_dimensions)
        others = [dimension for dimension in asked if not self.answers(dimension)]
        if others:
            here = " and ".join(self.names)
            raise InvalidRequestError(
                [
                    f"Field {dimension.name} is of the report service "
                    f"{' or '.join(services_of(dimension))}; this one answers {here} alone."
                    for dimension in others
                ]
            )

    def document(self) -> dict[str, object]:
        """What is told of them."""
        return {"services": [{"name": name, "title": _TITLES[name]} for name in self.names]}


BOTH: Final = Services()


def services_named(name: str | None) -> tuple[ServiceName, ...]:
    """The one of a name; of none both."""
    return tuple(each for each in SERVICES if name in (None, each))


def services_of(dimension: Dimension) -> tuple[ServiceName, ...]:
    """The services that answer a dimension by itself; those of time and users belong to none."""
    own = [name for name in SERVICES if dimension.category in _CATEGORIES[name]]
    also = _ALSO.get(dimension.name)
    return (*own, *([also] if also and also not in own else []))
