"""Conservation: what became of everything that a received hour holds, to the last hit."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Conservation:
    """Counts of a received hour. Hits are counted when they are decoded (``hits_in``) and again
    where they end, so that one that is lost on the way shows.

    Attributes:
        requests: Requests archived, each block once.
        repeated_requests: Those of them that are copies made by a balancer, and are dropped.
        skipped_requests: Those that were not looked into, as they name properties not asked for.
        hits_in: Hits in the requests looked into. A part of a request that could not be understood
            is one too.
        counted: Hits that count, late ones included.
        excluded: Hits that a filter tagged.
        too_old: Hits received more than 72 hours after they happened.
        dead_lettered: Hits that became, or are part of, a dead letter.
        repeated: Hits in the dropped copies.
        of_others: Hits of properties that were not asked for, in requests that were looked into.
        late: Those of ``counted`` that were received more than D after they happened.
    """

    requests: int = 0
    repeated_requests: int = 0
    skipped_requests: int = 0
    hits_in: int = 0
    counted: int = 0
    excluded: int = 0
    too_old: int = 0
    dead_lettered: int = 0
    repeated: int = 0
    of_others: int = 0
    late: int = 0

    def __add__(self, other: "Conservation") -> "Conservation":
        return Conservation(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in fields(self)
            }
        )

    @property
    def unexplained(self) -> int:
        """Hits that went in and are found nowhere, or came from nowhere; 0 if all is well."""
        return self.hits_in - (
            self.counted
            + self.excluded
            + self.too_old
            + self.dead_lettered
            + self.repeated
            + self.of_others
        )
