"""Bots: hits of crawlers that say in their user agent what they are.

Libraries of programming languages and automated browsers are no crawlers: shops try their tags
with them, and servers send hits through them.
"""

from functools import lru_cache
from typing import Final

import polars as pl
import re2

from tallymark.distinct import with_looked_up

BOT: Final = "bot"
"""What ``excluded_by`` says of a crawler's hit."""
NO_CRAWLERS: Final = frozenset({"http-library", "browser-automation"})
"""Kinds in the list of user agents that are no crawlers by themselves."""
_MAX_CHARACTERS: Final = 1_000
_MAX_CACHED: Final = 50_000


def with_bots(hits: pl.DataFrame) -> pl.DataFrame:
    """``hits`` with those of crawlers tagged, unless they are tagged already.

    Args:
        hits: Have ``user_agent`` and ``excluded_by``.
    """
    is_bot = (pl.col("excluded_by") == "") & pl.col("is_bot")
    return (
        with_looked_up(hits, "user_agent", _bots)
        .with_columns(
            excluded_by=pl.when(is_bot).then(pl.lit(BOT)).otherwise("excluded_by"),
        )
        .drop("is_bot")
    )


def _bots(user_agents: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"is_bot": map(_is_bot, user_agents)}, schema={"is_bot": pl.Boolean})


@lru_cache(maxsize=1)
def _crawlers() -> "re2.Set":
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # noqa: PLC0415  reads its file

    patterns = re2.Set.SearchSet()
    for crawler in CRAWLER_USER_AGENTS_DATA:
        if not NO_CRAWLERS.issuperset(crawler["tags"]):
            patterns.Add(crawler["pattern"])
    patterns.Compile()
    return patterns


@lru_cache(maxsize=_MAX_CACHED)
def _is_bot(user_agent: str) -> bool:
    return bool(_crawlers().Match(user_agent[:_MAX_CHARACTERS]))
