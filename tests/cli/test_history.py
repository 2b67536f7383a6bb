"""The commands that look at history and change what is served, on a data folder without a stack."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cli.data_folder import DataFolder
from cli.main import main
from cli.up_lock import UpLock
from stores.announcements import RULES, Announcements
from stores.archive.clean import CleanHits, CleanManifest
from stores.archive.opening import open_objects
from stores.archive.raw import RawArchive
from stores.clock import utc_us
from stores.doubts import Doubts
from stores.live_audits import AuditNotes
from stores.publication import Publisher
from stores.wide_rows.opening import open_wide_rows
from tallymark.aggregates import cell_frame
from tallymark.cells import SLOT_COLUMNS
from tallymark.conservation import Conservation
from tallymark.divergences import COUNT_SCHEMA, DIVERGENCE_SCHEMA, Divergences
from tallymark.doubts import DOUBT_SCHEMA
from tallymark.slots import HOUR_US
from tests.beam_pipelines.worlds import request_blocks
from tests.property_files import create_property
from tests.strategies import MIDNIGHT_US, MINUTE_US, Visit, all_counted, hits_of

GAP_US = 30 * MINUTE_US
SPAN = (MIDNIGHT_US, MIDNIGHT_US + 4 * HOUR_US)
RANGE = "2023-11-15T00..2023-11-15T04"


@dataclass
class Scene:
    """A data folder with a property and a live lineage that has counted 200 visits."""

    path: Path

    def __post_init__(self) -> None:
        made = create_property(
            DataFolder(self.path).rules_path, random_bytes=bytes, name="Shop", time_zone="UTC",
            currency="USD", session_gap_seconds=1800,
        )  # fmt: skip
        self.owner = made.created
        self.wide_rows = open_wide_rows(DataFolder(self.path).wide_rows_url)
        ticks = itertools.count(1_700_000_000_000_000, 1_000_000)
        self.publisher = Publisher(self.wide_rows, lambda: next(ticks), who="ada")
        self.publisher.live_lineage(shards=1)
        self.write("live-1", 200)

    def write(self, lineage: str, clients: int) -> None:
        visits = [
            Visit(client=client, property_id=self.owner.property_id, event_at=MIDNIGHT_US,
                  opens_session=True, look=0)
            for client in range(clients)
        ]  # fmt: skip
        facts = all_counted(hits_of(visits, GAP_US))
        touched = facts.joined.select(SLOT_COLUMNS).unique()
        self.wide_rows.write(cell_frame(facts, touched, lineage=lineage, version=1))

    def candidate(self, clients: int, *, lost: int = 0, **facts) -> str:
        made = self.publisher.lineages.draw(
            targets=(SPAN,), why="newsletters", **({"state": "candidate"} | facts)
        )
        self.write(made.name, clients)
        manifest = CleanManifest(
            lineage=made.name, received_hour=MIDNIGHT_US, code_version="1", rules="as-received",
            span=SPAN, measurement_ids=None, not_held=(), parts=(),
            conservation=Conservation(requests=clients, hits_in=clients + lost, counted=clients),
        )  # fmt: skip
        CleanHits(open_objects(DataFolder(self.path).archive_url)).commit(manifest)
        return made.name

    def run(self, *arguments: object) -> Result:
        command = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, [*command, "--data", str(self.path)])

    def serving(self) -> str | None:
        pointers = self.publisher.pointers.pointers(self.owner.property_id)
        return pointers.served.lineage_at(MIDNIGHT_US)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_candidate_is_looked_at_published_and_taken_back(scene: Scene) -> None:
    name = scene.candidate(190)
    shown = scene.run("diff", RANGE)
    assert shown.exit_code == 0, shown.output
    assert f"{name} against what is served, {RANGE} (UTC)" in shown.output
    assert f"property {scene.owner.property_id} ({scene.owner.label})" in shown.output
    assert "-5.0%" in shown.output
    assert "passed  conservation: 190 hits of 1 received hours add up" in shown.output
    assert scene.serving() == "live-1"
    published = scene.run("publish", name, "--why", "newsletters")
    assert published.output == f"{name} serves {RANGE} (version 2)\n"
    assert scene.serving() == name
    back = scene.run("rollback", "--why", "wrong")
    assert back.output == "version 3 serves what version 1 served\n"
    assert scene.serving() == "live-1"
    again = scene.run("rollback", "--to", 2, "--json")
    assert json.loads(again.output) == {"version": 4, "restored": 2}
    assert scene.serving() == name


def test_differences_are_told_as_json_too(scene: Scene) -> None:
    name = scene.candidate(190)
    found = json.loads(scene.run("diff", "2023-11-15", "--candidate", name, "--json").stdout)
    [users] = [
        row for row in found["metrics"] if (row["rollup"], row["metric"]) == ("totals", "users")
    ]
    assert (users["served"], users["candidate"], users["change"]) == (200, 190, -10)
    assert found["spans"] == [["2023-11-15T00", "2023-11-15T04"]]
    assert {row["hour"] for row in found["hours"]} == {"2023-11-15T00Z"}
    assert {check["name"]: check["passed"] for check in found["checks"]} == dict.fromkeys(
        ("conservation", "sums_of_parts", "no_negatives", "parts_within_totals",
         "uniques_within_4_sigma", "change_within_bounds"), True,
    )  # fmt: skip


def test_hours_that_the_candidate_has_not_computed_are_told(scene: Scene) -> None:
    scene.candidate(190)
    shown = scene.run("diff", "2023-11-15")
    assert "20 of 24 hours are not computed in gen-1" in shown.stderr
    assert scene.run("diff", "2023-11-17", "--candidate", "gen-1").exit_code == 1


def test_two_lineages_are_compared_with_each_other(scene: Scene) -> None:
    scene.candidate(190)
    scene.candidate(180)
    shown = scene.run(
        "diff", RANGE, "--against", "gen-1", "--property", scene.owner.measurement_ids[0]
    )
    assert "gen-2 against gen-1" in shown.output
    assert "-10" in shown.output


def test_a_large_change_is_published_when_it_is_acknowledged(scene: Scene) -> None:
    name = scene.candidate(100)
    refused = scene.run("publish", name)
    assert refused.exit_code == 1
    assert "change by more than 20%" in refused.stderr
    assert "--acknowledge publishes it" in refused.stderr
    assert "FAILED  change_within_bounds" in refused.stderr
    assert scene.serving() == "live-1"
    assert scene.run("publish", name, "--acknowledge").exit_code == 0
    assert scene.serving() == name


def test_a_wider_bound_lets_a_change_pass(scene: Scene) -> None:
    assert scene.run("publish", scene.candidate(150), "--largest-change", 0.3).exit_code == 0


def test_what_does_not_add_up_is_not_published_whoever_acknowledges_it(scene: Scene) -> None:
    name = scene.candidate(200, lost=3)
    refused = scene.run("publish", name, "--acknowledge")
    assert refused.exit_code == 1
    assert "2023-11-15T00Z misses 3 of 203" in refused.stderr
    assert "--acknowledge publishes it" not in refused.stderr
    assert scene.serving() == "live-1"


def test_a_property_alone_is_published_and_rolled_back(scene: Scene) -> None:
    name = scene.candidate(190, property_id=scene.owner.property_id)
    assert scene.run("publish", name).exit_code == 0
    assert scene.serving() == name
    assert "nothing to roll back" in scene.run("rollback").stderr
    assert scene.run("rollback", "--property", scene.owner.measurement_ids[0]).exit_code == 0
    assert scene.serving() == "live-1"


def test_lineages_and_versions_are_listed(scene: Scene) -> None:
    name = scene.candidate(190)
    scene.run("publish", name, "--why", "newsletters")
    shown = scene.run("lineages")
    assert "live-1" in shown.output
    assert RANGE in shown.output
    rows = {
        row["name"]: row
        for row in map(json.loads, scene.run("lineages", "--json").output.splitlines())
    }
    assert rows[name]["state"] == "published"
    assert rows[name]["serves"] == [RANGE]
    assert rows["live-1"]["serves"] == ["..2023-11-15T00", "2023-11-15T04.."]
    versions = [
        json.loads(line)
        for line in scene.run("lineages", "--history", "--json").output.splitlines()
    ]
    assert [row["version"] for row in versions] == [2, 1]
    assert (versions[0]["action"], versions[0]["why"]) == ("publish", "newsletters")
    assert "newsletters" in scene.run("lineages", "--history").output


def test_old_generations_are_swept(scene: Scene) -> None:
    for _ in range(5):
        scene.candidate(1)
    assert scene.run("sweep", "--dry-run").output.split() == [
        "gen-1", "state", "candidate", "gen-2", "state", "candidate",
    ]  # fmt: skip
    rows = [
        json.loads(line) for line in scene.run("sweep", "--keep", 4, "--json").output.splitlines()
    ]
    assert rows == [{"lineage": "gen-1", "slots": 0, "files": 1}]
    assert scene.publisher.lineages.get("gen-1").state == "swept"
    assert "nothing to sweep" in scene.run("sweep", "--keep", 4).stderr


def test_hours_that_were_announced_are_named_with_the_replay_that_counts_them_again(
    scene: Scene,
) -> None:
    idle = request_blocks([scene.owner.measurement_ids[0]], requests=1)[0]
    sealed = replace(idle, number=2, kind="heartbeat", frontier=MIDNIGHT_US + 20 * HOUR_US)
    archive = RawArchive(open_objects(DataFolder(scene.path).archive_url))
    archive.write([replace(idle, number=1), sealed])
    owner = scene.owner.property_id
    Announcements(scene.wide_rows).announce([(owner, MIDNIGHT_US, b"block")])
    assert (
        f"{RANGE} of property {owner}: late hits, clients whose sources have changed, or rules "
        f"that were known too late: tallymark replay {RANGE} --property {owner} --publish\n"
    ) in scene.run("stale").output
    [row] = json.loads(scene.run("stale", "--json").output)["announced"]
    assert row == {
        "hours": RANGE, "property": owner, "open": False,
        "mend": f"tallymark replay {RANGE} --property {owner} --publish",
    }  # fmt: skip


def test_hours_that_other_code_has_computed_are_named_with_what_mends_them(scene: Scene) -> None:
    code = json.loads(scene.run("stale", "--json").output)["code"]
    assert scene.run("stale").output == f"all served hours were computed by this code, {code}\n"
    scene.run("publish", scene.candidate(190, code_version="old"))
    whole = scene.run("stale")
    assert whole.output == f"{RANGE}: gen-1, code old: tallymark replay {RANGE}\n"
    alone = scene.candidate(190, property_id=scene.owner.property_id, code_version="older")
    scene.run("publish", alone)
    [row] = [
        row for row in json.loads(scene.run("stale", "--json").output)["spans"] if row["property"]
    ]
    assert row == {
        "hours": RANGE, "property": scene.owner.property_id, "lineage": alone, "code": "older",
        "open": False, "mend": f"tallymark replay {RANGE} --property {scene.owner.property_id}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("publish", "gen-9"), "there is no lineage 'gen-9'; there are: live-1"),
        (("publish", "live-1"), "live-1 is a streaming job's"),
        (("diff", "2023-11-15"), "no candidate has computed hours"),
        (("diff", "2023-11-15", "--candidate", "gen-9"), "there is no lineage 'gen-9'"),
        (("rollback",), "nothing to roll back"),
        (("rollback", "--to", 9), "expected a version from 1 to 0"),
        (("rollback", "--property", "G-NONE"), "got 'G-NONE'"),
    ],
)
def test_what_cannot_be_is_said_with_what_there_is(
    scene: Scene, arguments: tuple[object, ...], told: str
) -> None:
    refused = scene.run(*arguments)
    assert refused.exit_code == 1
    assert told in refused.stderr


def test_an_empty_folder_holds_no_reports_and_stays_empty(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["lineages", "--data", str(tmp_path)])
    assert shown.exit_code == 1
    assert "it holds no reports" in shown.stderr
    assert list(tmp_path.iterdir()) == []


def noted(scene: Scene) -> AuditNotes:
    """An audit has found a number of the first hour that late hits do not explain."""
    place = {"property_id": scene.owner.property_id, "hour": MIDNIGHT_US}
    number = {"rollup": "totals", "row": "", "metric": "events", "live": 200, "sealed": 201}
    notes = AuditNotes(scene.wide_rows, lambda: 1)
    notes.note(
        Divergences(
            spans=(SPAN,),
            counts=pl.DataFrame([place | {"explained": 0, "unexplained": 1}], COUNT_SCHEMA),
            examples=pl.DataFrame([place | number | {"is_explained": False}], DIVERGENCE_SCHEMA),
        )
    )
    return notes


TOLD = "totals events was 200 live and is 201"


def test_hours_that_differ_from_live_are_listed_until_somebody_has_looked(scene: Scene) -> None:
    noted(scene)
    shown = scene.run("audit")
    assert f"2023-11-15T00Z  1 numbers of {scene.owner.property_id}" in shown.stdout
    assert TOLD in shown.stdout
    assert "1 hour differs from live beyond late hits" in shown.stderr
    assert "1 acknowledged" in scene.run("audit", "--acknowledge", RANGE, "--why", "disk").stderr
    [row] = map(json.loads, scene.run("audit", "--json").stdout.splitlines())
    assert (row["hour"], row["numbers"], row["why"]) == ("2023-11-15T00Z", 1, "disk")
    assert "nothing is to be looked at" in scene.run("audit").stderr


@contextmanager
def noted_stack(scene: Scene) -> Iterator[None]:
    """A stack that says that it runs."""
    folder = DataFolder(scene.path)
    service = {
        "name": "stream", "state": "ready", "pid": 1, "restarts": 0,
        "address": folder.wide_rows_url,
    }  # fmt: skip
    with UpLock(folder.run, {"pid": 7}):
        (folder.run / "up.json").write_text(json.dumps({"pid": 7, "services": [service]}))
        (folder.run / "stream.json").write_text(json.dumps({"pid": 1}))
        yield


def test_the_status_of_a_stack_tells_of_hours_that_rules_had_changed_for(scene: Scene) -> None:
    hour = utc_us() // HOUR_US * HOUR_US
    [measurement_id] = scene.owner.measurement_ids
    doubt = (measurement_id, 1, hour, hour, "block", hour)
    with noted_stack(scene):
        assert "!!" not in scene.run("status").output
        doubts = Doubts(scene.wide_rows)
        doubts.note(pl.DataFrame([doubt], DOUBT_SCHEMA, orient="row"))
        assert "rules          1 hours of properties may be processed" in scene.run("status").output
        told = Announcements(scene.wide_rows, RULES)
        told.announce([(scene.owner.property_id, hour, b"block")])
        rules = json.loads(scene.run("status", "--json").output)["rules"]
        assert (rules["doubtful_hours"], rules["wrong_hours"]) == (1, 1)
        assert "1 hours of properties were processed by rules that had changed" in rules["text"]


def test_the_status_of_a_stack_tells_of_hours_that_differ_from_live(scene: Scene) -> None:
    with noted_stack(scene):
        assert "audit" not in scene.run("status").output
        notes = noted(scene)
        shown = scene.run("status")
        assert shown.exit_code == 0, shown.output
        assert "audit          1 hour differs from live beyond late hits, e.g. " in shown.output
        assert TOLD in shown.output
        assert json.loads(scene.run("status", "--json").output)["audit"]["hours"] == 1
        notes.acknowledge(*SPAN, who="ada", why="")
        assert json.loads(scene.run("status", "--json").output)["audit"]["hours"] == 0


@pytest.mark.parametrize(
    "command",
    ["lineages", "lineages --history", "diff 2023-11-15", "publish gen-1", "rollback", "sweep",
     "audit", "replay 2023-11-15", "status"],
)  # fmt: skip
def test_a_folder_that_is_none_is_told_and_nothing_is_created(tmp_path: Path, command: str) -> None:
    nowhere = tmp_path / "tpyo"
    result = CliRunner().invoke(main, [*command.split(), "--data", str(nowhere)])
    assert result.exit_code == 1
    assert str(nowhere) in result.output
    assert "tallymark up" in result.output
    assert not nowhere.exists()
