"""A merchant who looks at the reports all the time and remembers what they said."""

import threading
import time
from dataclasses import dataclass, field

from google.api_core.exceptions import GoogleAPIError
from requests import RequestException

from .reports import ask
from .stack import Site, Stack

NUMBERS = ("eventCount", "screenPageViews", "totalUsers")
FIRST_DAY = "2daysAgo"


@dataclass
class Watcher:
    """Asks for the numbers of every property once a second, until it leaves the ``with``.

    Attributes:
        answers: How many reports were read.
        failures: How many were not answered.
        retreats: Numbers that were less than before, in words.
    """

    stack: Stack
    sites: list[Site]
    answers: int = 0
    failures: int = 0
    retreats: list[str] = field(default_factory=list)
    newest: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def __enter__(self) -> "Watcher":
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join(timeout=60)

    def _watch(self) -> None:
        while not self._leaving.wait(1.0):
            for site in self.sites:
                self._look(site)

    def _look(self, site: Site) -> None:
        try:
            answer = ask(self.stack, site, (), NUMBERS, (FIRST_DAY, "today"))
        except (GoogleAPIError, RequestException):
            self.failures += 1
            return
        self.answers += 1
        numbers = answer.get((), (0.0,) * len(NUMBERS))
        before = self.newest.get(site.property_id, numbers)
        for name, old, new in zip(NUMBERS, before, numbers, strict=True):
            if new < old:
                at = time.strftime("%H:%M:%S")
                self.retreats.append(f"{at} {name} of {site.property_id}: {old} then {new}")
        self.newest[site.property_id] = numbers
