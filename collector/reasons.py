"""Reasons: all that ``X-Tallymark-Reason`` may say; ``docs/sites.md`` explains each.

Advice goes with a hit that was recorded; a refusal goes with a request that was not.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

HEADER: Final = "X-Tallymark-Reason"

Advice = Literal[
    "",
    "missing_measurement_id",
    "unknown_measurement_id",
    "missing_api_secret",
    "invalid_api_secret",
    "host_not_allowed",
]
"""Why what was recorded may not count; "" where nothing is known against it."""


@dataclass(frozen=True)
class Refusal:
    """Why a request was not recorded.

    Attributes:
        reason: What the header says.
        status: Of HTTP.
        counted_as: The field of ``Counts``; "" where nobody has to know.
        retry_after_seconds: When it may be sent again; 0 where that is of no use.
    """

    reason: str
    status: str
    counted_as: str = ""
    retry_after_seconds: int = 0

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What the answer carries because of it."""
        said = [(HEADER, self.reason)]
        if self.retry_after_seconds:
            said.append(("Retry-After", str(self.retry_after_seconds)))
        return said


_UNAVAILABLE: Final = "503 Service Unavailable"
_TOO_MANY: Final = "429 Too Many Requests"

SPOOL_FULL: Final = Refusal("spool_full", _UNAVAILABLE, "refused_full", 10)
STOPPING: Final = Refusal("stopping", _UNAVAILABLE, retry_after_seconds=10)
DISK: Final = Refusal("disk", _UNAVAILABLE, "refused_disk", 10)
TOO_LARGE: Final = Refusal("body_too_large", "413 Content Too Large", "refused_large")
CUT_SHORT: Final = Refusal("body_cut_short", "400 Bad Request")
PROPERTY_LIMIT: Final = Refusal("property_rate_limited", _TOO_MANY, "refused_property", 1)
NETWORK_LIMIT: Final = Refusal("network_rate_limited", _TOO_MANY, "refused_network", 1)
REFUSALS: Final = (
    SPOOL_FULL, STOPPING, DISK, TOO_LARGE, CUT_SHORT, PROPERTY_LIMIT, NETWORK_LIMIT,
)  # fmt: skip

ADVICE: Final[tuple[str, ...]] = tuple(advice for advice in get_args(Advice) if advice)
REASONS: Final = frozenset((*ADVICE, *(refusal.reason for refusal in REFUSALS)))
