"""What a new version of the code leaves to be done: hours that other code has computed."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from assets.hours import key_of
from assets.stores import Stores
from beam_pipelines.code_version import code_version
from beam_pipelines.stale_hours import StaleSpan, stale_spans
from tallymark.slots import HOUR_US

ROWS: Final = 200
CHECK: Final = "served_by_this_code"


@dg.asset(
    group_name="history",
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset="stale_hours",
            description="Every hour that is served was computed by the code as it is.",
        )
    ],
    description=(
        "Hours that are served from what **another version of the code** decided. Looked for after "
        "each deploy. `tallymark stream upgrade` takes over those that are still open; to mend the "
        "others, backfill the job `replay` over the spans that it names, look at its checks, and "
        "publish. `tallymark stale` names them too."
    ),
)
def stale_hours(stores: Stores) -> Iterator[dg.MaterializeResult[None]]:
    """Find them; a warning where there are any."""
    found = stale_spans(stores.places())
    hours = sum(len(one.span) for one in found)
    table = dg.MetadataValue.table([_row(one) for one in found[:ROWS]], _SCHEMA)
    yield dg.MaterializeResult(
        metadata={"hours": hours, "code version": code_version(), "spans": table},
        check_results=[
            dg.AssetCheckResult(
                check_name=CHECK,
                passed=not found,
                severity=dg.AssetCheckSeverity.WARN,
                description=_advice(found, hours),
                metadata={"spans": table},
            )
        ],
    )


_SCHEMA: Final = dg.TableSchema(
    columns=[
        dg.TableColumn("first hour"),
        dg.TableColumn("last hour"),
        dg.TableColumn("hours", "int"),
        dg.TableColumn("lineage"),
        dg.TableColumn("code version"),
        dg.TableColumn("property"),
        dg.TableColumn("mended by"),
    ]
)


def _row(stale: StaleSpan) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "first hour": key_of(stale.span.start_us),
            "last hour": key_of(stale.span.end_us - HOUR_US),
            "hours": len(stale.span),
            "lineage": stale.lineage,
            "code version": stale.code_version,
            "property": "all" if stale.property_id is None else str(stale.property_id),
            "mended by": "stream upgrade" if stale.is_open else "replay",
        }
    )


def _advice(found: list[StaleSpan], hours: int) -> str:
    if not found:
        return "all hours that are served were computed by this code"
    said = [f"{hours} served hours were computed by other code."]
    if any(one.is_open for one in found):
        said.append("Run `tallymark stream upgrade`, which takes over those that are open.")
    sealed = [one.span for one in found if not one.is_open]
    if sealed:
        first, last = sealed[0].start_us, max(span.end_us for span in sealed) - HOUR_US
        said.append(
            f"Backfill the job replay from {key_of(first)} to {key_of(last)}, look at the checks, "
            "then publish"
        )
    return " ".join(said)
