"""The reasons of the collector are one closed set, and each is explained to sites."""

import re
from dataclasses import fields
from pathlib import Path

from collector.metrics import Counts
from collector.reasons import ADVICE, REASONS, REFUSALS

ROOT = Path(__file__).parents[2]


def rows() -> dict[str, tuple[str, str]]:
    """(status, recorded) of each reason in the table for sites."""
    chapter = (ROOT / "docs" / "sites.md").read_text().partition("says of a hit")[2]
    found = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| (yes|no) \|", chapter, re.MULTILINE)
    return {reason: (status, recorded) for reason, status, recorded in found}


def test_sites_are_told_of_every_reason_and_what_became_of_the_hit():
    told = rows()
    assert told.keys() == REASONS
    assert {told[reason] for reason in ADVICE} == {("as taken", "yes")}
    assert {refusal.reason: (refusal.status[:3], "no") for refusal in REFUSALS} == {
        reason: row for reason, row in told.items() if reason not in ADVICE
    }


def test_what_is_refused_is_counted_under_a_name_that_metrics_have():
    counted = {refusal.counted_as for refusal in REFUSALS} - {""}
    assert counted == {field.name for field in fields(Counts) if field.name.startswith("refused_")}


def test_no_code_of_the_collector_names_a_reason_by_itself():
    """Advice is a closed type, which mypy holds; refusals are made in one module."""
    for path in (ROOT / "collector").glob("*.py"):
        if path.name != "reasons.py":
            text = path.read_text()
            assert 'X-Tallymark-Reason"' not in text, path
            assert "Refusal(" not in text, path
