"""Enhanced measurement: what the tracker of a data stream may measure without being asked."""

from typing import Final

SWITCHES: Final = (
    "page_views",
    "scrolls",
    "outbound_clicks",
    "site_search",
    "video_engagement",
    "file_downloads",
    "form_interactions",
)
"""All are on unless they are switched off. ``page_views`` are those of a change of the address by
script; the page that is loaded is always viewed."""
