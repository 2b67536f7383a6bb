"""Replays: history computed again, from the raw archive to the cells of a lineage.

    python -m beam_pipelines.replay --lineage gen-1 --from 2026-01-01T00 --to 2026-01-01T04 …

runs one in a process of its own: progress as JSON lines on standard output, the outcome last.
"""

import errno
import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from beam_pipelines.progress import Progress, Report, quiet
from beam_pipelines.replay_request import (
    IncompleteHoursError,
    Replay,
    ReplayRequest,
    RequestsGoneError,
    decode_request,
)
from beam_pipelines.replay_stages import (
    MissingStageError,
    clean_received_hours,
    compute_sessions,
    roll_up,
)
from stores.archive.counts import Counts
from stores.archive.damage import ArchiveDamageError
from tallymark.conservation import Conservation
from tallymark.replays import Span, UnsealedError, hour_text
from tallymark.rules_choice import AS_RECEIVED, RulesChoiceError
from tallymark.slots import instant_us


@dataclass(frozen=True, kw_only=True)
class ReplayOutcome:
    """What a whole replay did.

    Attributes:
        lineage: Where its cells are.
        span: The aligned range, UTC µs.
        targets: The hours it recomputed.
        window: The event hours whose hits it read.
        received_hours: Received hours that it decoded, or had decoded before.
        conservation: The counts of all of them together.
        hits: Hits of the window that count.
        sessions: Sessions that start in the target hours.
        cells: Cells written.
        inputs: For hours of the window, the other lineage whose clean hits were read.
        seconds: How long it took.
    """

    lineage: str
    span: Span
    targets: Span
    window: Span
    received_hours: tuple[int, ...]
    conservation: Conservation
    hits: int
    sessions: int
    cells: int
    inputs: dict[int, str]
    seconds: float

    def document(self) -> dict[str, Any]:
        """As JSON says it."""
        return {
            **asdict(self),
            "received_hours": len(self.received_hours),
            "inputs": {hour_text(hour): lineage for hour, lineage in self.inputs.items()},
            **{
                name: [hour_text(span.start_us), hour_text(span.end_us)]
                for name in ("span", "targets", "window")
                for span in (getattr(self, name),)
            },
        }


def replay(request: ReplayRequest, report: Report = quiet) -> ReplayOutcome:
    """Compute a range again, from the raw archive to the cells of the lineage.

    Raises: What the stages raise. What is served stays as it is.
    """
    began = time.monotonic()
    job = Replay(request)
    manifests = clean_received_hours(job, report=report)
    counted = compute_sessions(job, report)
    rolled = roll_up(job, report)
    Counts(job.objects, request.lineage, job.plan.targets).clear()
    return ReplayOutcome(
        lineage=request.lineage,
        span=job.plan.span,
        targets=job.plan.targets,
        window=job.plan.window,
        received_hours=tuple(job.received_hours),
        conservation=sum((one.conservation for one in manifests), Conservation()),
        hits=counted.hits,
        sessions=sum(counted.sessions.values()),
        cells=rolled.cells,
        inputs=job.inputs,
        seconds=round(time.monotonic() - began, 3),
    )


STAGES: Final = ("all", "clean_hits", "sessions", "rollups")
FAILURES: Final[tuple[tuple[type[Exception], str, int], ...]] = (
    (UnsealedError, "unsealed", 3),
    (RequestsGoneError, "gone", 9),
    (IncompleteHoursError, "incomplete", 4),
    (ArchiveDamageError, "damaged", 5),
    (RulesChoiceError, "rules", 7),
    (MissingStageError, "missing_stage", 8),
    (ValueError, "request", 2),
)
"""What may be wrong, as the last line names it, and the exit code. A full disk is 6, all else 1."""
NO_SPACE: Final = ("no_space", 6)
OTHER: Final = ("failed", 1)


def run_stage(stage: str, request: ReplayRequest, report: Report = quiet) -> dict[str, Any]:
    """Run a stage, or ``all``; what it did as a document."""
    if stage == "clean_hits":
        manifests = clean_received_hours(request, report=report)
        total = sum((one.conservation for one in manifests), Conservation())
        return {"received_hours": len(manifests), "conservation": asdict(total)}
    if stage == "sessions":
        counted = compute_sessions(request, report)
        sessions = {hour_text(hour): count for hour, count in counted.sessions.items()}
        return {"hits": counted.hits, "passes": counted.passes, "sessions": sessions}
    if stage == "rollups":
        return asdict(roll_up(request, report))
    return replay(request, report).document()


def explained(error: Exception) -> tuple[str, int, str]:
    """What an error is called, its exit code, and what to say of it."""
    for kind, name, code in FAILURES:
        if isinstance(error, kind):
            return name, code, str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return *NO_SPACE, (
            f"the archive takes no more: {error}. Make room and run the same again; what was "
            "written so far is used or replaced, and what is served stays as it is"
        )
    return *OTHER, f"{type(error).__name__}: {error}"


def _hour(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"expected a UTC hour such as 2026-01-31T08, got {text!r}"
        ) from error
    return instant_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _inputs(pairs: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for pair in pairs:
        hour, _, lineage = pair.partition("=")
        if not lineage:
            raise click.BadParameter(f"--input: expected HOUR=LINEAGE, got {pair!r}")
        yield instant_us(datetime.fromisoformat(hour).replace(tzinfo=UTC)), lineage


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option(
    "--request",
    "request_file",
    type=click.File("rb"),
    help="""A whole request as JSON
    instead of the options that follow; - reads it from standard input.""",
)
@click.option("--stage", type=click.Choice(STAGES), default="all", help="One stage alone.")
@click.option("--lineage", default="gen-1", help="Where cells and clean hits are written.")
@click.option("--from", "start_us", callback=_hour, help="UTC hour, such as 2026-01-31T08.")
@click.option("--to", "end_us", callback=_hour, help="UTC hour behind the last one.")
@click.option("--archive", "archive_url", default="file:data/archive", help="The archive.")
@click.option(
    "--wide-rows", "wide_rows_url", default="sqlite:data/wide_rows.sqlite", help="Where cells go."
)
@click.option("--rules-file", default="data/properties.json", help="Properties and their rules.")
@click.option("--rules", default=AS_RECEIVED, help="as-received, latest or a version's number.")
@click.option(
    "--measurement-id",
    "measurement_ids",
    multiple=True,
    help="Only the property of this id; may be given several times.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    help="""HOUR=LINEAGE: whose clean hits stand for an
    hour outside of the range; else it is decoded from the raw archive.""",
)
@click.option("--sealing", "is_sealing", is_flag=True, help="Compute the hours of the range alone.")
@click.option("--hits-a-pass", default=ReplayRequest.hits_a_pass, help="Bounds the memory.")
@click.option("--runner", default="DirectRunner", help="A Beam runner.")
@click.option("--runner-option", "runner_options", multiple=True, help="As --name=value.")
def main(
    request_file: Any, stage: str, rules_file: str, inputs: tuple[str, ...], **options: Any
) -> None:
    """Compute hours again from the raw archive into a lineage; nothing that is served changes.

    Progress goes to standard output as JSON lines, the outcome last. Exit codes: 0 done, 2 the
    request is wrong, 3 the range is not sealed, 4 a received hour is not wholly archived, 5 a file
    of the archive is damaged, 6 no space, 7 the rules do not exist, 8 an earlier stage is missing,
    9 recorded requests are not kept any more, 1 anything else.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        if request_file:
            request = decode_request(request_file.read())
        else:
            request = _request(options, rules_file, inputs)
        outcome = run_stage(stage, request, _print)
    except Exception as error:
        name, code, message = explained(error)
        if name == OTHER[0]:
            logging.exception("the replay failed")
        _line({"outcome": name, "message": message})
        sys.exit(code)
    _line({"outcome": "done", **outcome})


def _request(options: dict[str, Any], rules_file: str, inputs: tuple[str, ...]) -> ReplayRequest:
    if options["start_us"] is None or options["end_us"] is None:
        raise click.UsageError("expected --from and --to, or --request")
    ids = options.pop("measurement_ids")
    return ReplayRequest(
        **options,
        rules_path=str(Path(rules_file)),
        measurement_ids=tuple(ids) or None,
        inputs=tuple(_inputs(inputs)),
    )


def _print(progress: Progress) -> None:
    _line(asdict(progress))


def _line(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
