"""Problems of a document: each says where it is, what came and what is allowed."""

from dataclasses import dataclass
from typing import Final

_MAX_SHOWN: Final = 200


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: where it stands, what came, what is allowed."""

    where: str
    got: object
    allowed: str

    def __str__(self) -> str:
        shown = repr(self.got)
        shown = shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + "…"
        return f"{self.where}: got {shown}; allowed: {self.allowed}"
