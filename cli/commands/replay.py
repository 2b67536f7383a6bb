"""``tallymark replay``: hours of history computed again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from beam_pipelines.generations import Generation, open_generation, planned_generation
from beam_pipelines.replay_process import Report
from beam_pipelines.wishes import Cost, Wish
from cli.hour_range import HourRange
from cli.places import explained, place_options, places_of, property_id_of, property_option
from cli.review_text import progress, told
from cli.who import who
from stores.reviews import Review
from tallymark.conservation import Conservation
from tallymark.publication import RefusedError
from tallymark.replays import Span, hour_text
from tallymark.rules_choice import AS_RECEIVED


@click.command()
@click.argument("hours", type=HourRange(), metavar="RANGE")
@place_options
@property_option
@click.option("--rules", default=AS_RECEIVED, show_default=True,
              metavar="as-received|latest|VERSION", help="Rules for its hits.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what it would compute and cost, and stop.")
@click.option("--publish", is_flag=True, help="Serve the outcome, if every check has passed.")
@click.option("--acknowledge", is_flag=True, help="A change by more than a fifth is meant.")
@click.option("--why", default="", help="What for; kept with the lineage.")
@click.option("--runner", default="DirectRunner", show_default=True, help="The Beam runner.")
@click.option("--runner-option", "runner_options", multiple=True, metavar="--NAME=VALUE",
              help="An option for the runner; may be given several times.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def replay(
    hours: Span, *, data: Path, owner: str | None, dry_run: bool, publish: bool,
    acknowledge: bool, as_json: bool,
    archive: str | None, wide_rows: str | None, **wanted: Any,
) -> None:  # fmt: skip
    """Compute a RANGE of UTC hours again, from the recorded requests on.

    The hours, aligned outward to four, get a lineage of their own; what reports show stays as it
    is until the lineage is published. What would change is told and checked first. RANGE is a
    day, an hour, or FROM..TO, without TO. No stack has to run.

    \b
    Examples:
      tallymark replay 2026-01-31 --dry-run
      tallymark replay 2026-01-31T08..2026-01-31T16 --property G-ABCDE12345 --rules latest
      tallymark replay 2026-01-31 --publish --why "bots of the new crawler"
    """
    places = places_of(data=data, archive=archive, wide_rows=wide_rows, may_begin=True)
    console = Console(stderr=True, highlight=False)
    with explained():
        property_id = property_id_of(places, owner)
        wish = Wish(
            start_us=hours.start_us, end_us=hours.end_us, who=who(), property_id=property_id,
            **wanted,
        )  # fmt: skip
        planned = planned_generation(places, wish)
        console.print(_cost_text(planned, planned.cost()))
        if dry_run:
            return
        generation = open_generation(places, wish)
        _compute(generation, console)
        review = _judge(generation, console, is_acknowledged=acknowledge)
        outcome = _outcome(generation, review)
        if publish:
            outcome["map version"] = _publish(generation, review)
    _tell(outcome, console, as_json=as_json)


def _cost_text(planned: Generation, cost: Cost) -> str:
    span, targets = planned.plan.span, planned.plan.targets
    return (
        f"replays {hour_text(span.start_us)} to {hour_text(span.end_us)}; recomputes the "
        f"{cost.target_hours} hours from {hour_text(targets.start_us)} to "
        f"{hour_text(targets.end_us)}\n"
        f"reads {cost.received_hours} received hours with {cost.requests:,} requests; takes about "
        f"{cost.seconds:,.0f} s"
    )


def _compute(generation: Generation, console: Console) -> None:
    with _bar(console) as report:
        generation.compute("clean_hits", report)
        generation.compute("sessions", report)
        generation.compute("rollups", report)


def _judge(generation: Generation, console: Console, *, is_acknowledged: bool) -> Review:
    """Say what it would change; what does not add up is no candidate.

    Raises:
        RefusedError: when a check has failed that nobody may overrule.
    """
    with progress() as report:
        review = generation.review(is_acknowledged=is_acknowledged, report=report)
    generation.conclude(may_be_published=review.adds_up)
    names = {owner.property_id: owner.label for owner in generation.places.properties()}
    console.print(told(review, names), markup=False, soft_wrap=True)
    if not review.adds_up:
        raise RefusedError(
            f"{generation.lineage.name} does not add up: nothing of it may be published"
        )
    return review


def _publish(generation: Generation, review: Review) -> int:
    """The version of the pointers that serves it.

    Raises:
        RefusedError: when it is too far from what is served.
    """
    if review.failed:
        name = generation.lineage.name
        raise RefusedError(
            f"{name} was not published, as it changes what is served by much; if that is meant: "
            f"tallymark publish {name} --acknowledge"
        )
    return generation.publish().version


def _outcome(generation: Generation, review: Review) -> dict[str, Any]:
    counts = sum((one.conservation for one in generation.clean_manifests()), Conservation())
    return {
        "lineage": generation.lineage.name,
        "hits": counts.hits_in,
        "counted": counts.counted,
        "excluded": counts.excluded,
        "late": counts.late,
        "too old": counts.too_old,
        "dead letters": counts.dead_lettered,
        "duplicates": counts.repeated,
        "seconds": generation.lineage.seconds,
        "changes": not review.differences.is_empty,
        "checks failed": [check.name for check in review.failed],
    }


@contextmanager
def _bar(console: Console) -> Iterator[Report]:
    """A bar a stage, moved by what the replay's process tells."""
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TextColumn("{task.completed:g}/{task.total:g}, {task.fields[hits]:,} hits"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def report(line: dict[str, Any]) -> None:
            stage = line["stage"]
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=line["of"], hits=0)
            bars.update(tasks[stage], total=line["of"], completed=line["done"], hits=line["hits"])

        yield report


def _tell(outcome: dict[str, Any], console: Console, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(outcome))
        return
    for name, value in outcome.items():
        if name in ("changes", "checks failed"):  # told above, with all that differs
            continue
        click.echo(f"{name:<14} {value:,}" if isinstance(value, int) else f"{name:<14} {value}")
    if "map version" not in outcome:
        console.print("nothing that is served has changed; --publish serves such an outcome")
