"""Manifests: the list of the blocks in a file of the raw archive; without it there is no file."""

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import polars as pl
import xxhash

from stores.archive.hours import hour_name
from stores.archive.spool_runs import Run, runs_of
from tallymark.blocks import block_name

BLOCK_LIST_SCHEMA: Final = pl.Schema(
    {
        "spool_id": pl.String,
        "number": pl.Int64,
        "kind": pl.String,
        "frontier": pl.Int64,  # UTC µs
        "requests": pl.Int64,
        "published_at": pl.Int64,  # UTC µs
        "is_readable": pl.Boolean,  # false: its payload is kept as it came, apart
    }
)
"""Columns of a list of blocks."""
RAW: Final = "raw/"
SUFFIX: Final = ".json"


def hour_prefix(hour_us: int) -> str:
    """What the names of all objects of a received hour start with."""
    return f"{RAW}received_hour={hour_name(hour_us)}/"


@dataclass(frozen=True)
class Manifest:
    """What is in one file.

    Attributes:
        name: Object name of the manifest.
        blocks: Frame of ``BLOCK_LIST_SCHEMA``, ordered by name of the block.
        requests: Rows in the file; 0 means that there is none.
        balancer_requests: How many of them carry a balancer's id.
        last_received_at: UTC µs; of the last of them.
        file: Object name of the Parquet file where it is not named as the manifest is: another
            stands for it since requests of it have gone.
    """

    name: str
    blocks: pl.DataFrame
    requests: int = 0
    balancer_requests: int = 0
    last_received_at: int = 0
    file: str = ""

    @property
    def file_name(self) -> str:
        """Object name of the Parquet file with the requests."""
        return self.file or self.name.removesuffix(SUFFIX) + ".parquet"

    def of_requests(self, requests: pl.DataFrame) -> "Manifest":
        """It with what the requests of its file come to."""
        return replace(
            self,
            requests=requests.height,
            balancer_requests=requests.filter("has_balancer_id").height,
            last_received_at=requests.select(pl.col("received_at").max()).item() or 0,
        )

    def runs(self) -> dict[str, list[Run]]:
        """The runs of each spool."""
        return {
            str(spool_id): runs_of(blocks["number"], blocks["frontier"], blocks["kind"])
            for (spool_id,), blocks in self.blocks.group_by("spool_id")
        }

    def encode(self) -> bytes:
        """As stored: JSON, a list a column."""
        facts: dict[str, Any] = {**vars(self), "blocks": self.blocks.to_dict(as_series=False)}
        del facts["name"]
        return orjson.dumps(facts)

    @classmethod
    def decode(cls, name: str, content: bytes) -> "Manifest":
        """From what is stored under ``name``."""
        facts = orjson.loads(content)
        return cls(
            name=name,
            blocks=pl.DataFrame(facts.pop("blocks"), schema=BLOCK_LIST_SCHEMA),
            **facts,
        )


def manifest_name(hour_us: int, blocks: pl.DataFrame) -> str:
    """A name that the list of blocks alone decides, so that writing it again replaces it."""
    names = [block_name(*name) for name in blocks.select("spool_id", "number").iter_rows()]
    digest = xxhash.xxh3_64_hexdigest("\n".join(names).encode())
    return f"{hour_prefix(hour_us)}{names[0]}-{digest}{SUFFIX}"
