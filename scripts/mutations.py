"""Break the counting on purpose, one line at a time, and see that the tests notice.

Each mutation replaces a piece of source text in a copy of the tree and runs the tests that ought to
fail there. The run fails if a mutation survives, or if the text to be replaced is no longer there.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("tallymark", "stores", "beam_pipelines", "tests", "pyproject.toml")
SESSIONS = "tests/tallymark/test_sessions.py"
SHARDS = "tests/tallymark/test_shards.py"
CELLS = "tests/tallymark/test_cells.py"
UNIQUES = "tests/tallymark/test_uniques.py"
TRANSACTIONS = "tests/tallymark/test_transactions.py"
KEY_EVENTS = "tests/tallymark/test_key_events.py"
VECTORS = "tests/tallymark/test_vectors.py"
CONTROL = "tests/beam_pipelines/test_control.py"
KEEPER = "tests/beam_pipelines/test_shard_keeper.py"
RULES = "tests/stores/rules_cache/test_known_rules.py"


@dataclass(frozen=True)
class Mutation:
    """One break: what it is called, where it is made, and which test files ought to notice."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "blocks are not deduplicated by name",
        "tallymark/shards.py",
        "keep.append(not self.vector.has(*name) and name not in names)",
        "keep.append(name not in names)",
        (SHARDS,),
    ),
    Mutation(
        "a block twice in one frame counts twice",
        "tallymark/shards.py",
        "keep.append(not self.vector.has(*name) and name not in names)",
        "keep.append(not self.vector.has(*name))",
        (SHARDS,),
    ),
    Mutation(
        "a pause of exactly the gap joins sessions (> for ≥)",
        "tallymark/sessions.py",
        'pause_us >= pl.col("session_gap_ms") * 1000',
        'pause_us > pl.col("session_gap_ms") * 1000',
        (SESSIONS,),
    ),
    Mutation(
        "a pause of exactly the gap joins pieces (> for ≥)",
        "tallymark/pieces.py",
        'pause_us >= pl.col("session_gap_ms") * 1000',
        'pause_us > pl.col("session_gap_ms") * 1000',
        (SESSIONS,),
    ),
    Mutation(
        "equal instants are not ordered by hit id",
        "tallymark/pieces.py",
        '*CLIENT, "opens_session", "event_at", "hit_order"',
        '*CLIENT, "opens_session", "event_at"',
        (SESSIONS,),
    ),
    Mutation(
        "of equal instants in merged pieces, any one comes first",
        "tallymark/compaction.py",
        "descending=[False, is_last, is_last]",
        "descending=[False, is_last, not is_last]",
        (SESSIONS,),
    ),
    Mutation(
        "a chain begun exactly L before is not cut (< for ≤)",
        "tallymark/sessions.py",
        'pl.col("run_start") <= aligned - SESSION_ALIGNMENT_US',
        'pl.col("run_start") < aligned - SESSION_ALIGNMENT_US',
        (SESSIONS,),
    ),
    Mutation(
        "a hit joins a session whose gap has just passed (≤ for <)",
        "tallymark/sessions.py",
        'pl.col("start") < pl.col("reach")',
        'pl.col("start") <= pl.col("reach")',
        (SESSIONS,),
    ),
    Mutation(
        "a hit exactly D late is late (≥ for >)",
        "tallymark/shards.py",
        'pl.col("received_at") - pl.col("event_at") > self.late_us',
        'pl.col("received_at") - pl.col("event_at") >= self.late_us',
        (SHARDS,),
    ),
    Mutation(
        "hits of sealed hours are counted",
        "tallymark/shards.py",
        "return late | sealed",
        "return late",
        (SHARDS,),
    ),
    Mutation(
        "emptied cells are not written",
        "tallymark/cells.py",
        "order = touched.select(SLOT_COLUMNS)",
        "order = touched.join(rows, on=list(SLOT_COLUMNS), how='semi').select(SLOT_COLUMNS)",
        (CELLS,),
    ),
    Mutation(
        "the slot in which a changed session starts is not written again",
        "tallymark/owed.py",
        "return pl.concat([own, begun]).unique()",
        "return own.unique()",
        (SHARDS,),
    ),
    Mutation(
        "hours sealed before they were written are forgotten",
        "tallymark/shards.py",
        "return hour >= self.known_from",
        "return hour >= max(self.known_from, self.first_unsealed_hour())",
        (SHARDS,),
    ),
    Mutation(
        "copies that a balancer made are counted",
        "tallymark/shards.py",
        'fresh = hits.filter(~self.ids.known_among(hits.get_column("hit_order")))',
        "fresh = hits",
        (SHARDS,),
    ),
    Mutation(
        "blocks below a spool's base are taken for seen",
        "tallymark/vectors.py",
        "return number > self.base or number in self.below",
        "return True",
        (VECTORS,),
    ),
    Mutation(
        "the clock is the greatest frontier",
        "tallymark/vectors.py",
        "min(attached, default=0)",
        "max(attached, default=0)",
        (VECTORS,),
    ),
    Mutation(
        "sets keep the greatest hashes",
        "tallymark/uniques.py",
        "members.unique().sort().head(k)",
        "members.unique().sort().tail(k)",
        (UNIQUES,),
    ),
    Mutation(
        "a job that was replaced goes on writing",
        "beam_pipelines/control.py",
        "held.epoch != self._control.epoch",
        "held.epoch < self._control.epoch",
        (CONTROL,),
    ),
    Mutation(
        "a job writes before it has caught up",
        "beam_pipelines/control.py",
        "if not vector.reaches(self._must_reach, self._reads_from):",
        "if False:",
        (CONTROL, KEEPER),
    ),
    Mutation(
        "the cached state is used whatever the runner's token",
        "beam_pipelines/shard_keeper.py",
        "if token is not None and token == self._token:",
        "if token is not None and self._token:",
        (KEEPER,),
    ),
    Mutation(
        "a sale is held against all sales before it, however long ago",
        "tallymark/transactions.py",
        'is_repeat = is_same & (pl.col("at").shift(1) >= horizon)',
        "is_repeat = is_same",
        (TRANSACTIONS,),
    ),
    Mutation(
        "sales are held against those of the same delivery alone",
        "tallymark/shards.py",
        "transactions = pl.concat([sales_of, fresh.transactions])",
        "transactions = fresh.transactions",
        (SHARDS,),
    ),
    Mutation(
        "of a piece the last key event of a name is kept",
        "tallymark/key_events.py",
        '[*_OF_NAME, "opens_session", "piece"], keep="first"',
        '[*_OF_NAME, "opens_session", "piece"], keep="last"',
        (KEY_EVENTS,),
    ),
    Mutation(
        "key events of hours that were let go stand for none any more",
        "tallymark/shards.py",
        'key_events=self.tables.key_events.filter(pl.col("slot_start") >= needed)',
        "key_events=self.tables.key_events.filter(still)",
        (SHARDS,),
    ),
    Mutation(
        "an answer about rules that is older than what the feed has told is taken",
        "stores/rules_cache/known_rules.py",
        "return answer.position < max(self._changed.get(one, 0), self._complete_from)",
        "return False",
        (RULES,),
    ),
    Mutation(
        "an id stays unknown though the feed tells of it",
        "stores/rules_cache/known_rules.py",
        "                    self._changed[one] = change.sequence\n"
        "                    self._unknown.discard(one)\n",
        "                    self._changed[one] = change.sequence\n",
        (RULES,),
    ),
    Mutation(
        "rules that are on disk alone are not renewed",
        "stores/rules_cache/known_rules.py",
        "for one in self._stored(list(newest))}",
        "for one in ()}",
        (RULES,),
    ),
    Mutation(
        "an answer of a database that was left is taken",
        "stores/rules_cache/known_rules.py",
        "                return Known(missing=asked)\n",
        "                pass\n",
        (RULES,),
    ),
)


def main() -> int:
    """Try every mutation whose name holds the argument; how many survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="part of the names to be tried")
    only = parser.parse_args().only
    chosen = [mutation for mutation in MUTATIONS if only in mutation.name]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        _copy(tree)
        files = sorted({test for mutation in chosen for test in mutation.tests})
        failed, said = _run(tree, tuple(files))
        if failed:
            sys.stdout.write(f"the tests fail without any mutation:\n{said}\n")
            return 1
        survivors = sum(not _is_killed(tree, mutation) for mutation in chosen)
    sys.stdout.write(f"{len(chosen)} mutations, {survivors} survived\n")
    return survivors


def _copy(tree: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tree / name, ignore=ignored)
        else:
            shutil.copy(source, tree / name)


def _is_killed(tree: Path, mutation: Mutation) -> bool:
    path = tree / mutation.path
    source = path.read_text()
    if source.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.path}: expected {mutation.old!r} once; mend the mutation")
    path.write_text(source.replace(mutation.old, mutation.new))
    started = time.monotonic()
    try:
        failed, _ = _run(tree, mutation.tests)
    finally:
        path.write_text(source)
    verdict = f"killed by {failed}" if failed else "SURVIVED"
    seconds = time.monotonic() - started
    sys.stdout.write(f"{mutation.name:<70} {seconds:5.1f} s  {verdict}\n")
    sys.stdout.flush()
    return bool(failed)


def _run(tree: Path, tests: tuple[str, ...]) -> tuple[str, str]:
    """The first test that failed in the tree ("" if none did), and what was said."""
    environment = os.environ | {"HYPOTHESIS_PROFILE": "mutations", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        sys.executable, "-m", "pytest", "-x", "-m", "not slow", "-p", "no:cacheprovider", *tests
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return "", done.stdout
    found = re.search(r"^(?:FAILED|ERROR) \S*?(test_\w+(?:\.py)?(?:::\S+)?)", done.stdout, re.M)
    if found is None:
        raise SystemExit(f"no test ran in the copy:\n{done.stdout}\n{done.stderr}")
    return found.group(1).rpartition("::")[2], done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
