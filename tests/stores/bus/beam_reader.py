"""A streaming pipeline on the DirectRunner that writes each message it reads into a folder.

Arguments: the subscription's full name, the folder.
"""

import sys
from pathlib import Path

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.options.pipeline_options import PipelineOptions


def keep(message: PubsubMessage, folder: str) -> None:
    name = message.attributes["number"]
    part = Path(folder, f"{name}.part")
    part.write_bytes(message.data)
    part.rename(Path(folder, name))


def main() -> None:
    subscription, folder = sys.argv[1:]
    options = PipelineOptions(["--runner=DirectRunner", "--streaming"])
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | beam.io.ReadFromPubSub(subscription=subscription, with_attributes=True)
            | beam.Map(keep, folder)
        )


if __name__ == "__main__":
    main()
