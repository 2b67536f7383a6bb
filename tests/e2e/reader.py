"""A reader who asks for the same reports again and again, and holds each answer to known ones."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import requests

from .reports import Answer, answer_differences
from .stack import Site, Stack

PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class Question:
    """A report of a property over one day."""

    site: Site
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    date: str

    def ask(self, session: requests.Session, stack: Stack) -> Answer:
        """One HTTP request, never tried twice.

        Raises:
            requests.RequestException: for whatever is no answer.
        """
        answered = session.post(
            f"{stack.report_url}/v1beta/properties/{self.site.property_id}:runReport",
            headers={"Authorization": f"Bearer {self.site.read_key}"},
            json={
                "dimensions": [{"name": name} for name in self.dimensions],
                "metrics": [{"name": name} for name in self.metrics],
                "dateRanges": [{"startDate": self.date, "endDate": self.date}],
                "limit": 10_000,
            },
            timeout=30,
        )
        answered.raise_for_status()
        return {
            _texts(row["dimensionValues"]): tuple(map(float, _texts(row["metricValues"])))
            for row in answered.json().get("rows", [])
        }


def _texts(values: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(str(value["value"]) for value in values)


@dataclass
class Reader:
    """Asks all questions in turn, with a short pause between rounds, until it leaves the ``with``.

    An answer is *version X* when every row and every number of it is that of the answer known as
    X, and no row is missing; one that is none of the known versions is a mixture.

    Attributes:
        known: For each question its possible answers by name.
        growing: A question whose answers change as visits go on.
        seen: For each question which version each of its answers was, in the order asked.
        grown: The answers to ``growing``, in the order asked.
        mixtures: Answers that were none of the known ones, in words.
        failures: Questions that were not answered, in words.
    """

    stack: Stack
    known: Mapping[Question, Mapping[str, Answer]]
    growing: Question
    grown: list[Answer] = field(default_factory=list)
    seen: dict[Question, list[str]] = field(default_factory=dict)
    mixtures: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> "Reader":
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join(timeout=60)

    def phases(self, question: Question) -> list[str]:
        """The versions that its answers went through, each once while it lasted."""
        return [version for version, _ in groupby(self.seen.get(question, []))]

    def newest(self) -> list[str]:
        """The version that each question was answered with last."""
        return [versions[-1] for versions in list(self.seen.values())]

    def _read(self) -> None:
        with requests.Session() as session:
            while not self._leaving.wait(PAUSE_SECONDS):
                for question in (*self.known, self.growing):
                    self._look(session, question)

    def _look(self, session: requests.Session, question: Question) -> None:
        at = time.strftime("%H:%M:%S")
        try:
            answer = question.ask(session, self.stack)
        except requests.RequestException as error:
            self.failures.append(f"{at} {question}: {error}")
            return
        if question == self.growing:
            self.grown.append(answer)
            return
        differences = {
            version: answer_differences(known, answer)
            for version, known in self.known[question].items()
        }
        matching = [version for version, found in differences.items() if not found]
        if matching:
            self.seen.setdefault(question, []).append(matching[0])
        else:
            self.mixtures.append(f"{at} {question}: {differences}")
