"""Known properties: what the peek, the secret's verdict and the tracker go by."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from collector.known_streams import KnownStream
from stores.rules_cache.opening import is_service, service_place


class KnownProperties(Protocol):
    """What a worker knows of data streams; no call but ``find_soon`` waits for anything."""

    def __len__(self) -> int:
        """How many properties are known."""

    def refresh(self) -> None:
        """Look whether anything has changed; called each second."""

    def find(self, measurement_id: str) -> KnownStream | None:
        """The data stream, if it is known."""

    def find_soon(self, measurement_id: str) -> KnownStream | None:
        """The same; one that has to be asked for may be waited for, a moment."""

    def is_unknown(self, measurement_id: str) -> bool:
        """Whether it is known that no data stream has this id."""

    def verdict(self, measurement_id: str, secret: str) -> str:
        """What is recorded of a secret, see ``tallymark.secret_verdicts``."""

    def close(self) -> None:
        """Let go of it."""


def open_known(rules: str, usual: Path, clock: Callable[[], int]) -> KnownProperties:
    """The properties of a place of rules.

    Args:
        rules: As ``stores.rules_cache.opening`` takes it; "" means the usual one.
        usual: The file that is read where nothing is said.
        clock: UTC µs.
    """
    if is_service(rules):
        from collector.followed_properties import follow  # noqa: PLC0415  one of them is loaded

        return follow(service_place(rules), clock)
    from collector.properties_file import PropertiesFile  # noqa: PLC0415

    return PropertiesFile(Path(rules) if rules else usual, clock)
