"""Personal data stays on the collector's machine, and no block is lost over it."""

import io
import json
from collections.abc import Collection
from pathlib import Path

import polars as pl
import pytest

from collector.redactor import MAX_WITHHELD, BrokenRedactionError, Redactor
from collector.segment_blocks import block_of_segment
from collector.shipper import write_note
from tallymark.personal_data import Redacted, redacted
from tests.collector.test_shipper import FIELDS, Ledger, shipper_of, spool_with
from tests.tallymark.recorded import frame, web

MAIL = "jane.doe@example.com"
POISON = "poison"


def failing(requests: pl.DataFrame, kinds: Collection[str]) -> Redacted:
    """Raises where it meets a request that says so, with the data in its text."""
    if requests["query"].str.contains(POISON).any():
        raise ValueError(f"cannot read {MAIL}")
    return redacted(requests, kinds)


def segment_with(folder: Path, *queries: str) -> Path:
    spool = spool_with(folder / "spools", [])
    for query in queries:
        spool.append(FIELDS.replace(b'"query":"v=2"', b'"query":"%s"' % query.encode()))
    spool.close()
    return next(spool.path.glob("*2.block"))


def test_a_block_goes_out_without_personal_data_and_the_note_counts_it(tmp_path: Path):
    segment_with(tmp_path, f"ep.a={MAIL}", "ep.a=%2B4930123456", "ep.a=1")
    bus = Ledger()
    shipper = shipper_of(tmp_path, bus)
    shipper.step()
    assert shipper.state.redacted == {"mail": 0, "phone": 0, "card": 0}  # nothing has arrived yet
    bus.acknowledge()
    shipper.step()
    write_note(tmp_path / "shipper.json", shipper)
    note = json.loads((tmp_path / "shipper.json").read_bytes())
    assert note["redacted"] == {"mail": 1, "phone": 1, "card": 0}
    assert note["requests_withheld"] == 0


def test_the_same_segment_is_the_same_block_whenever_it_is_read(tmp_path: Path):
    path = segment_with(tmp_path, f"ep.a={MAIL}&cid={MAIL}", "ep.a=1", "ep.a=4111111111111111")
    first, second = (block_of_segment(path, tmp_path / "kept", Redactor()) for _ in range(2))
    assert first == second
    assert first.block.frame()["query"].to_list() == ["ep.a=(mail)&cid=", "ep.a=1", "ep.a=(card)"]
    assert not (tmp_path / "kept").exists()


def test_where_it_is_switched_off_requests_go_out_as_they_were_recorded(tmp_path: Path):
    path = segment_with(tmp_path, f"ep.a={MAIL}")
    sent = block_of_segment(path, tmp_path / "kept", Redactor(()))
    assert sent.block.frame()["query"].to_list() == [f"ep.a={MAIL}"]
    assert sent.values == {}


def test_a_request_that_makes_redaction_fail_goes_out_without_its_texts(tmp_path: Path, caplog):
    queries = [f"ep.a={MAIL}", f"ep.a={MAIL}&{POISON}", "ep.b=2"]
    path = segment_with(tmp_path, *queries)
    sent = block_of_segment(path, tmp_path / "kept", Redactor(redact=failing))
    assert sent.block.frame()["query"].to_list() == ["ep.a=(mail)", "", "ep.b=2"]
    assert (sent.block.requests, sent.withheld, sent.values["mail"]) == (3, 1, 1)
    [kept] = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == path.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0
    assert "ValueError" in caplog.text
    assert MAIL not in caplog.text


@pytest.mark.parametrize("redact", [redacted, failing])
def test_no_bytes_of_what_was_taken_out_travel_with_a_block(tmp_path: Path, redact):
    queries = [f"ep.a={MAIL}&ep.long={'x' * 40}", *[f"ep.b={'y' * 40}{n}" for n in range(50)]]
    queries[7] = f"{POISON}&ep.a=planted-{MAIL}"
    path = segment_with(tmp_path, *queries)
    sent = block_of_segment(path, tmp_path / "kept", Redactor(redact=redact))
    buffer = io.BytesIO()
    sent.block.frame().write_ipc_stream(buffer, compression="uncompressed")
    assert b"ep.long" in buffer.getvalue()
    assert b"jane" not in buffer.getvalue()


def test_where_all_requests_fail_the_block_waits_and_nothing_of_it_is_told(tmp_path: Path, caplog):
    segment_with(tmp_path, *[f"{POISON}={number}" for number in range(MAX_WITHHELD + 1)])
    bus = Ledger()
    shipper = shipper_of(tmp_path, bus, Redactor(redact=failing))
    shipper.step()
    assert not any("requests" in name for name in bus.sent)
    assert len(shipper.backlog()) == 3
    assert "the code is broken" in shipper.state.last_error
    assert MAIL not in caplog.text + shipper.state.last_error


def test_so_many_may_fail_and_not_one_more():
    poisoned = [web(POISON)] * MAX_WITHHELD
    assert Redactor(redact=failing).redacted_block(frame(*poisoned)).withheld == MAX_WITHHELD
    with pytest.raises(BrokenRedactionError):
        Redactor(redact=failing).redacted_block(frame(*poisoned, web(POISON)))


@pytest.mark.parametrize("error", [MemoryError("none left"), OSError("disk")])
def test_what_is_not_the_requests_fault_is_tried_again_as_a_whole(error):
    def broken(requests: pl.DataFrame, kinds: Collection[str]) -> Redacted:
        raise error

    with pytest.raises(type(error)):
        Redactor(redact=broken).redacted_block(frame(web("v=2"), web("v=2")))
