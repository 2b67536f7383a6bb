"""The pixel, ``/p.gif``: a hit in GA4's web format from where no script runs, mails above all.

What an image cannot say is filled in: an event without a name is a page view, and the page is the
one that the browser names as the referrer of the image.
"""

from typing import Final

import polars as pl

from tallymark.protocols import ga4_web
from tallymark.protocols.events import DecodedEvents

EVENT_NAME: Final = "page_view"


def decode(requests: pl.DataFrame, with_params: bool) -> DecodedEvents:
    """The events of requests; arguments as of ``ga4_web.decode``."""
    # What stands behind counts only where the image's own address says nothing.
    page = pl.col("referer").str.replace_all("%", "%25", literal=True)
    page = page.str.replace_all("&", "%26", literal=True).str.replace_all("+", "%2B", literal=True)
    completed = pl.concat_str(
        "query",
        pl.lit(f"&en={EVENT_NAME}"),
        pl.when(page != "").then(pl.lit("&dl=") + page),
        ignore_nulls=True,
    )
    return ga4_web.decode(requests.with_columns(query=completed), with_params)
