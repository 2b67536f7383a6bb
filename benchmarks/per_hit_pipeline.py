"""The yardstick: what a Beam pipeline with an element a hit does with the same blocks.

It is written as a good one would be: parsing with the standard library's quick parser, a shared
constant a key instead of objects, one windowed combine, compact accumulators. It counts only
events, views and engagement a page and hour: far less than the real pipeline.

Run by ``benchmarks.streaming``; its arguments are a subscription's path and a file for progress.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, Repeatedly
from apache_beam.transforms.window import FixedWindows

from tallymark.blocks import block_of_message

Counts = tuple[int, int, int]


class DecodeFn(beam.DoFn):
    """A block to its hits: (property, page) and what the hit adds."""

    def __init__(self, progress: str) -> None:
        self._progress = Path(progress)

    def setup(self) -> None:
        if not self._progress.exists():  # the first block is here: time runs from now
            self._progress.write_text("0")

    def process(self, element: PubsubMessage) -> Iterator[tuple[tuple[str, str], Counts]]:
        frame = block_of_message(element.data, element.attributes, 0).frame()
        for query, body in frame.select("query", "body").iter_rows():
            shared = dict(parse_qsl(query))
            for line in body.splitlines() or [""]:
                hit = {**shared, **dict(parse_qsl(line))} if line else shared
                page = urlsplit(hit.get("dl", "")).path
                yield (
                    (hit["tid"], page),
                    (1, int(hit["en"] == "page_view"), int(hit.get("_et", "0"))),
                )


class SumFn(beam.CombineFn):
    """Sums of the three numbers."""

    def create_accumulator(self) -> Counts:
        return 0, 0, 0

    def add_input(self, accumulator: Counts, element: Counts) -> Counts:
        return (
            accumulator[0] + element[0],
            accumulator[1] + element[1],
            accumulator[2] + element[2],
        )

    def merge_accumulators(self, accumulators: Iterable[Counts]) -> Counts:
        total = self.create_accumulator()
        for accumulator in accumulators:
            total = self.add_input(total, accumulator)
        return total

    def extract_output(self, accumulator: Counts) -> Counts:
        return accumulator


_LATEST: dict[tuple[str, str, str], int] = {}


class WriteFn(beam.DoFn):
    """Keeps the newest counts of each cell, and notes how many hits they hold."""

    def __init__(self, progress: str) -> None:
        self._progress = progress

    def process(
        self, element: tuple[tuple[str, str], Counts], window: Any = beam.DoFn.WindowParam
    ) -> None:
        (measurement_id, page), counts = element
        _LATEST[measurement_id, page, str(window.start)] = counts[0]

    def finish_bundle(self) -> None:
        Path(self._progress).write_text(str(sum(_LATEST.values())))


def run(subscription: str, progress: str) -> None:
    """Count until the process is ended."""
    options = PipelineOptions(["--runner=DirectRunner", "--streaming"])
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | "Read" >> ReadFromPubSub(subscription=subscription, with_attributes=True)
            | "Decode" >> beam.ParDo(DecodeFn(progress))
            | "Window"
            >> beam.WindowInto(
                FixedWindows(3600),
                trigger=Repeatedly(AfterProcessingTime(1)),
                accumulation_mode=AccumulationMode.ACCUMULATING,
            )
            | "Sum" >> beam.CombinePerKey(SumFn())
            | "Write" >> beam.ParDo(WriteFn(progress))
        )


if __name__ == "__main__":
    from benchmarks import per_hit_pipeline

    per_hit_pipeline.run(*sys.argv[1:])
