"""The batch form: blocks from the archive or any list, through the same composites, to cells."""

from collections.abc import Iterable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines import workers
from beam_pipelines.options import ShardSettings
from beam_pipelines.transforms import ProcessHits, RollUp
from tallymark.blocks import Block

EVERY_LATENESS_US = 2**60
"""A replay counts late hits too: it is what mends them."""


def run(
    blocks: Sequence[Block] | Iterable[Block],
    settings: ShardSettings,
    *,
    runner: str = "DirectRunner",
    runner_options: Sequence[str] = (),
) -> None:
    """Count ``blocks`` into the lineage of ``settings``; returns when every cell is written."""
    workers.forget()
    options = PipelineOptions([f"--runner={runner}", *runner_options])
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | "Read" >> beam.Create(list(blocks), reshuffle=False)
            | "Process hits" >> ProcessHits(settings)
            | "Roll up" >> RollUp(settings)
        )
    workers.forget()
