"""``tallymark publish``: serve a candidate, if its checks pass."""

import json
from typing import Any

import click

from beam_pipelines.answering import answer_announcements
from beam_pipelines.places import Places
from beam_pipelines.reviewing import reviewed
from cli.places import explained, json_option, place_options, places_of
from cli.review_text import progress, told
from cli.span_text import spans_text
from cli.who import who
from stores.reviews import Review
from tallymark.checks import Bounds
from tallymark.lineages import Lineage
from tallymark.publication import RefusedError, check_publishable


@click.command()
@click.argument("name", metavar="gen-N")
@place_options
@click.option("--acknowledge", is_flag=True, help="A change beyond --largest-change is meant.")
@click.option("--largest-change", type=click.FloatRange(min=0), default=Bounds().relative,
              show_default=True, help="Of any total of a property; 0.2 is a fifth.")  # fmt: skip
@click.option("--why", default="", help="For the history.")
@json_option
def publish(
    name: str, *, acknowledge: bool, largest_change: float, why: str, as_json: bool, **where: Any
) -> None:
    """Serve the hours that a candidate has computed, if all its checks pass.

    The checks: every hit that went in is found again, breakdowns add up to totals, nothing is
    negative, clients counted in rows are counted in totals, and no total changes by more than
    --largest-change. Only the last can be overruled, with --acknowledge.

    It is one write: a report shows all of it or nothing. tallymark rollback takes it back.

    \b
    Examples:
      tallymark publish gen-3
      tallymark publish gen-3 --acknowledge --why "bots of the new crawler"
    """
    with explained():
        places = places_of(**where)
        publisher = places.publisher(who())
        lineage = publisher.lineages.get(name)
        if lineage.kind == "live":
            raise RefusedError(f"{name} is a streaming job's: tallymark stream upgrade changes it")
        check_publishable(lineage, lineage.targets, lineage.property_id)
        bounds = Bounds(relative=largest_change)
        review = _reviewed(places, lineage, bounds, is_acknowledged=acknowledge)
        if review.failed:
            names = {owner.property_id: owner.label for owner in places.properties()}
            click.echo(told(review, names), err=True)
            reasons = "\n".join(check.reason for check in review.failed)
            raise RefusedError(f"{name} was not published:\n{reasons}{_way_out(review)}")
        document = publisher.publish(name, why=why)
        answer_announcements(places, lineage, lineage.targets)
    if as_json:
        click.echo(json.dumps({"lineage": name, "map version": document.version}))
        return
    click.echo(f"{name} serves {spans_text(lineage.targets)} (version {document.version})")


def _reviewed(places: Places, lineage: Lineage, bounds: Bounds, *, is_acknowledged: bool) -> Review:
    with progress() as report:
        return reviewed(
            places, lineage, lineage.targets, bounds=bounds, is_acknowledged=is_acknowledged,
            report=report,
        )  # fmt: skip


def _way_out(review: Review) -> str:
    return ": --acknowledge publishes it" if review.adds_up else ""
