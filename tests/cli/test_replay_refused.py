"""``tallymark replay`` over an archive that is not as it should be: what its user is told, with
which exit code, and that what is served stays as it was."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cli.data_folder import DataFolder
from cli.main import main
from stores.archive.clean import SCHEMA
from stores.clock import utc_us
from stores.pointers import PointerStore
from stores.publication import Publisher
from stores.wide_rows.opening import open_wide_rows
from tests.beam_pipelines.worlds import World, request_blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SERVED, FIRST, NEXT = ("2023-11-15T00..2023-11-15T08", "2023-11-15T00..2023-11-15T04",
                       "2023-11-15T04..2023-11-15T08")  # fmt: skip
REQUESTS = 300
"""About seven hours of visits."""


@dataclass
class Shop:
    """A data folder with a day of hits, of which a generation is served."""

    data: Path

    def replay(self, hours: str, *options: str) -> Result:
        """``tallymark replay``, as its user runs it."""
        return CliRunner().invoke(main, ["replay", hours, f"--data={self.data}", *options])

    def served(self) -> tuple[object, dict]:
        """All pointers, and every cell of the generation that they point to."""
        store = open_wide_rows(DataFolder(self.data).wide_rows_url)
        pointers = PointerStore(store).everyone()
        stored = store.read([(b"0", b"~")]).filter(pl.col("row_key").bin.contains(b"#gen-1#"))
        return pointers, {row[:3]: row[3:] for row in stored.iter_rows()}

    def files(self, pattern: str) -> list[Path]:
        """Files of the archive that are not empty."""
        found = (self.data / "archive").glob(pattern)
        return sorted(path for path in found if path.stat().st_size)

    def raw(self, ending: str) -> list[Path]:
        """Those of the received hour at two."""
        return self.files(f"raw/received_hour=2023-11-15T02/*{ending}")

    def clean(self) -> Path:
        """What the served generation says of that hour."""
        return self.data / "archive/clean/gen-1/received_hour=2023-11-15T02/manifest.json"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a folder, to be copied."""
    data = tmp_path_factory.mktemp("played") / "data"
    (data / "rules").mkdir(parents=True)
    world = World(data)
    world.archive(request_blocks([world.property()], requests=REQUESTS))
    shutil.move(data / "properties.json", DataFolder(data).rules_path)
    Publisher(open_wide_rows(DataFolder(data).wide_rows_url), utc_us, who="ada").live_lineage(
        shards=1
    )
    told = Shop(data).replay(SERVED, "--publish", "--acknowledge")
    assert told.exit_code == 0, told.output
    return data


@pytest.fixture
def shop(played: Path, tmp_path: Path) -> Iterator[Shop]:
    """It, and that it is served in the end as it was in the beginning."""
    shop = Shop(Path(shutil.copytree(played, tmp_path / "data")))
    before = shop.served()
    assert before[1]
    yield shop
    assert shop.served() == before


def _cut_off(shop: Shop) -> str:
    [path, *_] = shop.raw(".parquet")
    path.write_bytes(path.read_bytes()[:-50])
    return path.name


def _of_other_columns(shop: Shop) -> str:
    [path, *_] = shop.raw(".parquet")
    pl.read_parquet(path).drop("request_id", "number").write_parquet(path)
    return path.name


def _of_other_types(shop: Shop) -> str:
    [path, *_] = shop.raw(".parquet")
    pl.read_parquet(path).with_columns(received_at=pl.lit("noon")).write_parquet(path)
    return path.name


def _hour_missing(shop: Shop) -> str:
    for path in shop.raw(""):
        path.unlink()
    return "2023-11-15T02Z"


def _older_manifest(shop: Shop) -> str:
    path = shop.clean()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 0}))
    return "clean/gen-1/received_hour=2023-11-15T02/manifest.json"


def _older_part(shop: Shop) -> str:
    """A file that several hours share: all their manifests say how long it is."""
    [path] = shop.files("clean/gen-1/together/*.parquet")
    pl.read_parquet(path).drop("session_gap_ms").write_parquet(path)
    for note in shop.files("clean/gen-1/*/manifest.json"):
        manifest = json.loads(note.read_text())
        for part in manifest["parts"]:
            if part["name"].endswith(path.name):
                part["size_bytes"] = path.stat().st_size
        note.write_text(json.dumps(manifest))
    return path.name


def _nothing(_shop: Shop) -> str:
    return "rules"


@pytest.mark.parametrize(
    ("harm", "hours", "options", "says"),
    [
        (_cut_off, FIRST, (), ["cannot be read", "Put it back from a copy", "48 hours"]),
        (_of_other_columns, FIRST, (),
         ["cannot be read", "expected the columns request_id", "lacks", "Put it back"]),
        (_of_other_types, FIRST, (), ["expected received_at as Int64, got String", "Put it back"]),
        (_hour_missing, FIRST, (),
         ["expected complete received hours", "lacks blocks", "Wait until the archiver"]),
        (_older_manifest, NEXT, (),
         [f"its schema is 0, this code reads {SCHEMA}", "Make them again"]),
        (_older_part, NEXT, (), ["it lacks the columns session_gap_ms", "Make them again"]),
        (_nothing, FIRST, ("--rules=7",), ["to have version 7", "Choose another version"]),
        (_nothing, FIRST, ("--rules=newest",), ["as-received, latest or the number of a version"]),
    ],
    ids=["a raw file cut off", "a raw file of other columns", "a raw file of other types",
         "a missing hour", "an older manifest", "an older part", "rules that do not exist",
         "rules that are none"],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_name_and_what_to_do(
    shop: Shop,
    harm: Callable[[Shop], str],
    hours: str,
    options: tuple[str, ...],
    says: list[str],
) -> None:
    name = harm(shop)
    refused = shop.replay(hours, *options)
    assert refused.exit_code == 1, refused.output
    assert "Traceback" not in refused.stderr
    for text in (name, *says):
        assert text in refused.stderr


@pytest.mark.parametrize(
    ("hours", "options", "code", "says"),
    [
        ("2023-11-23T04..2023-11-23T08", (), 1, ["2023-11-23T04Z is not sealed", "earlier end"]),
        (FIRST, ("--property=G-NOBODY0001",), 1, ["got 'G-NOBODY0001'", "there are "]),
        ("2023-11-15T08..2023-11-15T04", (), 2, ["starts before it ends"]),
        ("yesterday", (), 2, ["expected UTC hours such as", "got 'yesterday'"]),
    ],
)
def test_a_range_or_property_that_cannot_be_is_said(
    shop: Shop, hours: str, options: tuple[str, ...], code: int, says: list[str]
) -> None:
    refused = shop.replay(hours, *options)
    assert refused.exit_code == code, refused.output
    for text in says:
        assert text in refused.stderr


def test_rules_that_cannot_be_read_are_said(shop: Shop) -> None:
    path = DataFolder(shop.data).rules_path
    document = json.loads(path.read_text())
    document["properties"][0]["versions"][0]["time_zone"] = "Mars/Olympus"
    path.write_text(json.dumps(document))
    refused = shop.replay(FIRST)
    assert refused.exit_code == 1
    assert "time_zone" in refused.stderr
    assert "Mars/Olympus" in refused.stderr


@pytest.fixture
def small_disk(shop: Shop) -> Iterator[Path]:
    """The archive's disk, of some megabytes."""
    folder = shop.data / "archive"
    held = folder.rename(shop.data / "held")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    shutil.copytree(held, folder, dirs_exist_ok=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_and_with_room_the_same_command_finishes(
    shop: Shop, small_disk: Path
) -> None:
    filler = small_disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4_096)
    except OSError:
        pass
    refused = shop.replay(FIRST)
    assert refused.exit_code == 1, refused.output
    assert "the archive takes no more" in refused.stderr
    assert "Make room and run the same again" in refused.stderr
    filler.unlink()
    assert shop.replay(FIRST).exit_code == 0
