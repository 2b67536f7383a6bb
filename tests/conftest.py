"""What all tests share: Hypothesis profiles, and how many examples each property was tried with."""

import os
import re
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

SLOW_DATA = [HealthCheck.too_slow, HealthCheck.data_too_large]
for name, count in (("quick", 6), ("thorough", 25), ("soak", 1000)):
    settings.register_profile(
        name, max_examples=count, deadline=None, suppress_health_check=SLOW_DATA
    )
settings.register_profile(
    "mutations",  # the same examples each time; that one fails is enough, not which is the least
    parent=settings.get_profile("thorough"),
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

SERVERS = ("bigtable", "pubsub_emulator", "postgresql")
"""Marks of tests that need a server; CI runs them with all that are slow."""
_COUNTS = re.compile(r"(\d+) passing(?: examples)?, (?:and )?(\d+) failing")
_PROPERTY = "hypothesis_examples"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing that has to be installed first is asked for while one works; files of long tests
    come first, so that none is left for one of the processes alone at the end; a soak takes as long
    as it takes."""
    for item in items:
        if any(item.get_closest_marker(server) for server in SERVERS):
            item.add_marker(pytest.mark.slow)
    longest: dict[Path, float] = {}
    for item in items:
        longest[item.path] = max(longest.get(item.path, 0.0), _allowed_seconds(item))
    items.sort(key=lambda item: -longest[item.path])
    if os.environ.get("HYPOTHESIS_PROFILE") == "soak":
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


def _allowed_seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark else 0.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the examples of a property in its report, which travels to the end of the run."""
    statistics = getattr(item, "hypothesis_statistics", None)
    if call.when == "call" and statistics:
        counts = _COUNTS.findall(statistics)
        item.user_properties.append(
            (_PROPERTY, sum(int(number) for pair in counts for number in pair))
        )
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a property: how many examples it was tried with."""
    lines = [
        (report.nodeid, count)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, count in report.user_properties
        if name == _PROPERTY
    ]
    if lines:
        terminalreporter.section("examples tried per property")
        for nodeid, count in sorted(lines):
            terminalreporter.write_line(f"{count:7,}  {nodeid}")
