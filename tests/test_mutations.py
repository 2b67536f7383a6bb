"""Breaks on purpose are noticed by the tests of the counting."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "mutations.py"


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_no_mutation_survives() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
