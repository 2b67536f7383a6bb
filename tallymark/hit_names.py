"""Hit names: what people call a hit by, the id of its request or of the hit itself."""

import re
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"([0-9a-f]{32})(?:-([0-9]{4}))?")
_MILLISECOND_US: Final = 1_000


class HitNameError(ValueError):
    """A text that names no hit; says what was expected and what came."""


@dataclass(frozen=True)
class HitName:
    """A request, or one hit in it.

    Attributes:
        request_id: 32 hex digits, a UUIDv7.
        index: Of the hit among those of its request; ``None`` means all of them.
    """

    request_id: str
    index: int | None = None

    @classmethod
    def parse(cls, text: str) -> "HitName":
        """The hit that ``REQUESTID`` or ``REQUESTID-0003`` names.

        Raises:
            HitNameError: when the text is of another form.
        """
        found = _NAME.fullmatch(text.strip().lower())
        if not found:
            raise HitNameError(
                "hit: expected the 32 hex digits of a request id, or these with the index of a hit "
                f"as in 019a3b7c5d0e7123a4b5c6d7e8f90123-0000, got {text[:80]!r}"
            )
        return cls(found[1], None if found[2] is None else int(found[2]))

    @property
    def named_at(self) -> int:
        """UTC µs that the id begins with: of the receipt, or of a client that named the request."""
        return int(self.request_id[:12], 16) * _MILLISECOND_US

    def __str__(self) -> str:
        """As it is written."""
        return self.request_id if self.index is None else f"{self.request_id}-{self.index:04d}"
