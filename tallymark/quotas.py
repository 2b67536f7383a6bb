"""Quotas: how many tokens reports may cost, of a property and of one caller, and what is left.

The quotas are those of the GA4 Data API (its ``PropertyQuota``): tokens of a property by day and by
hour, tokens and server errors of one project by hour, requests at a time. What is a project there
is here a read key: who shares one, shares its quota. Requests of each category (core, realtime,
funnel) have quotas of their own, as in GA.

Amounts are absolute and of one worker each; what counts is the sum over workers, so telling others
an amount twice changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from tallymark.slots import EPOCH, HOUR_US

Category = Literal["core", "realtime", "funnel"]
NO_LIMIT: Final = 2**31 - 1
"""What is left where nothing is limited: the most that the answer's field can say."""
_MORE: Final = (
    "To learn more, see https://developers.google.com/analytics/devguides/reporting/data/v1/quotas"
)
_AN_HOUR: Final = "These quota tokens will return in under an hour."
_DAY: Final = "Exhausted property tokens per day. These quota tokens will return in under 24 hours."
_HOUR: Final = f"Exhausted property tokens per hour. {_AN_HOUR}"
_PROJECT: Final = f"Exhausted property tokens for a project per hour. {_AN_HOUR}"
_AT_ONCE: Final = "Exhausted concurrent requests quota. Please send fewer requests concurrently."
_ERRORS: Final = "Exhausted server errors quota for a project per hour."
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class QuotaLimits:
    """How much may be asked; 0 stands for as much as one likes. The defaults are GA's.

    Attributes:
        tokens_per_day: Of a property, in a day of its time zone.
        tokens_per_hour: Of a property, in an hour of the clock.
        tokens_per_project_per_hour: Of one key of it.
        concurrent_requests: Of a property, at a time.
        server_errors_per_project_per_hour: Answers to one key for which the server is to blame.
        potentially_thresholded_requests_per_hour: Nothing here has thresholds, so it is only told.
    """

    tokens_per_day: int = 200_000
    tokens_per_hour: int = 40_000
    tokens_per_project_per_hour: int = 14_000
    concurrent_requests: int = 10
    server_errors_per_project_per_hour: int = 10
    potentially_thresholded_requests_per_hour: int = 120


GOOGLES: Final = QuotaLimits()
"""Those of a standard property of GA."""
UNLIMITED: Final = QuotaLimits(
    tokens_per_day=0,
    tokens_per_hour=0,
    tokens_per_project_per_hour=0,
    concurrent_requests=0,
    server_errors_per_project_per_hour=0,
)


class QuotaExhaustedError(Exception):
    """A quota is used up; says which, in Google's words.

    Attributes:
        retry_after_seconds: When there will be some of it again.
    """

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(f"{message} {_MORE}")
        self.retry_after_seconds = retry_after_seconds


class Account(NamedTuple):
    """Who asks, and for what.

    Attributes:
        property_id: Whose reports.
        category: Which quotas.
        caller: The project in GA, here the hash of a read key.
    """

    property_id: int
    category: Category
    caller: str


class Entry(NamedTuple):
    """What an amount is of.

    Attributes:
        property_id: Whose.
        category: Of requests.
        caller: Of one caller; "" for all of the property.
        period: ``hour`` (of UTC) or ``day`` (of the property's time zone).
        number: Which hour since the epoch, which day since the year 1.
    """

    property_id: int
    category: str
    caller: str
    period: str
    number: int


class Amount(NamedTuple):
    """What was used.

    Attributes:
        tokens: Of tokens.
        errors: Of answers for which the server is to blame.
    """

    tokens: int = 0
    errors: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """Both together."""
        return Amount(self.tokens + other.tokens, self.errors + other.errors)

    def minus(self, other: "Amount") -> "Amount":
        """What has come to ``other``."""
        return Amount(self.tokens - other.tokens, self.errors - other.errors)


_NOTHING: Final = Amount()


@dataclass(frozen=True)
class Moment:
    """An instant in the time zone of a property.

    Attributes:
        now_us: UTC µs.
        local: The same as its clocks show it.
    """

    now_us: int
    local: datetime

    @classmethod
    def of(cls, now_us: int, time_zone: str) -> "Moment":
        """An instant (UTC µs) in a time zone (an IANA name)."""
        instant = EPOCH + timedelta(microseconds=now_us)
        return cls(now_us, instant.astimezone(ZoneInfo(time_zone)))

    @property
    def hour(self) -> int:
        """Which hour since the epoch."""
        return self.now_us // HOUR_US

    @property
    def day(self) -> int:
        """Which local day since the year 1."""
        return self.local.toordinal()

    @property
    def seconds_of_hour(self) -> int:
        """Until the next one, at least 1."""
        return max(1, (HOUR_US - self.now_us % HOUR_US) // 1_000_000)

    @property
    def seconds_of_day(self) -> int:
        """Until the local midnight, at least 1."""
        midnight = self.local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return max(1, (midnight.astimezone(EPOCH.tzinfo) - self.local) // _SECOND)


class QuotaLedger:
    """What one worker has used, and what it knows of the others. Not safe among threads.

    Args:
        limits: Of every property.
    """

    def __init__(self, limits: QuotaLimits) -> None:
        self._limits = limits
        self._mine: dict[Entry, Amount] = {}
        self._all: dict[Entry, Amount] = {}
        self._theirs: dict[str, dict[Entry, Amount]] = {}
        self._unsaid: set[Entry] = set()
        self._running: Counter[tuple[int, str]] = Counter()
        self._running_elsewhere: Counter[tuple[int, str]] = Counter()

    def begin(self, account: Account, moment: Moment) -> None:
        """Let a request begin; ``end`` has to follow.

        Raises:
            QuotaExhaustedError: when it may not.
        """
        for used, limit, message, seconds in self._quotas(account, moment):
            if limit and used >= limit:
                raise QuotaExhaustedError(message, seconds)
        self._running[account[:2]] += 1

    def end(self, account: Account, moment: Moment, *, is_server_error: bool = False) -> None:
        """A request that ``begin`` has let begin is over, whatever came of it."""
        self._running[account[:2]] -= 1
        if self._running[account[:2]] <= 0:
            del self._running[account[:2]]
        if is_server_error:
            self._add(account, moment, Amount(errors=1))

    def charge(self, account: Account, moment: Moment, tokens: int) -> None:
        """Use tokens: what a request costs is known when it is answered, so the last may overdraw.

        Args:
            account: Whose.
            moment: When.
            tokens: See ``price``.
        """
        self._add(account, moment, Amount(tokens=tokens))

    def status(self, account: Account, moment: Moment, tokens: int) -> dict[str, dict[str, int]]:
        """``PropertyQuota`` of GA: what a request consumed, and what remains after it.

        Args:
            account: Whose.
            moment: When.
            tokens: What the request has been charged.
        """
        limits = self._limits
        mine, hour, day = _entries(account, moment)
        others = max(0, self._at_once(account) - 1)  # without the one that is told
        thresholded = limits.potentially_thresholded_requests_per_hour
        return {
            "tokensPerDay": _status(tokens, self._used(day).tokens, limits.tokens_per_day),
            "tokensPerHour": _status(tokens, self._used(hour).tokens, limits.tokens_per_hour),
            "concurrentRequests": _status(0, others, limits.concurrent_requests),
            "serverErrorsPerProjectPerHour": _status(
                0, self._used(mine).errors, limits.server_errors_per_project_per_hour
            ),
            "potentiallyThresholdedRequestsPerHour": _status(0, 0, thresholded),
            "tokensPerProjectPerHour": _status(
                tokens, self._used(mine).tokens, limits.tokens_per_project_per_hour
            ),
        }

    @property
    def running(self) -> Mapping[tuple[int, str], int]:
        """How many requests this worker answers now, by property and category."""
        return dict(self._running)

    def unsaid(self) -> dict[Entry, Amount]:
        """What this worker has used, of the entries that have changed since this was last asked."""
        changed = {entry: self._mine[entry] for entry in self._unsaid if entry in self._mine}
        self._unsaid.clear()
        return changed

    def say_again(self, entries: Iterable[Entry]) -> None:
        """What ``unsaid`` told could not be passed on."""
        self._unsaid.update(entries)

    def hear(self, worker: str, amounts: Mapping[Entry, Amount]) -> None:
        """What another worker has used: absolute amounts, of any entries."""
        known = self._theirs.setdefault(worker, {})
        for entry, amount in amounts.items():
            more = amount.minus(known.get(entry, _NOTHING))
            self._all[entry] = self._used(entry).plus(more)
            known[entry] = amount

    def hear_running(self, elsewhere: Iterable[Mapping[tuple[int, str], int]]) -> None:
        """How many requests each of the others answers now, by property and category."""
        self._running_elsewhere = Counter()
        for worker in elsewhere:
            self._running_elsewhere.update(worker)

    def forget(self, now_us: int) -> None:
        """Forget hours and days that are over everywhere."""
        hour = now_us // HOUR_US
        day = (EPOCH + timedelta(microseconds=now_us)).toordinal()
        oldest = {"hour": hour, "day": day - 1}
        for amounts in (self._mine, self._all, *self._theirs.values()):
            for entry in [one for one in amounts if one.number < oldest[one.period]]:
                del amounts[entry]
        self._theirs = {worker: known for worker, known in self._theirs.items() if known}

    def _quotas(self, account: Account, moment: Moment) -> Iterator[tuple[int, int, str, int]]:
        """What is used of each quota, its limit, what is said where nothing is left, and the
        seconds until there will be."""
        limits, at_once = self._limits, self._at_once(account)
        caller, hour, day = (self._used(entry) for entry in _entries(account, moment))
        yield at_once, limits.concurrent_requests, _AT_ONCE, 1
        yield day.tokens, limits.tokens_per_day, _DAY, moment.seconds_of_day
        yield hour.tokens, limits.tokens_per_hour, _HOUR, moment.seconds_of_hour
        project, errors = (
            limits.tokens_per_project_per_hour,
            limits.server_errors_per_project_per_hour,
        )
        yield caller.tokens, project, _PROJECT, moment.seconds_of_hour
        yield caller.errors, errors, _ERRORS, moment.seconds_of_hour

    def _at_once(self, account: Account) -> int:
        of = account[:2]
        return self._running[of] + self._running_elsewhere[of]

    def _used(self, entry: Entry) -> Amount:
        return self._all.get(entry, _NOTHING)

    def _add(self, account: Account, moment: Moment, amount: Amount) -> None:
        for entry in _entries(account, moment):
            self._mine[entry] = self._mine.get(entry, _NOTHING).plus(amount)
            self._all[entry] = self._used(entry).plus(amount)
            self._unsaid.add(entry)


def _entries(account: Account, moment: Moment) -> tuple[Entry, Entry, Entry]:
    """Those of the caller's hour, the property's hour and the property's day."""
    property_id, category, caller = account
    return (
        Entry(property_id, category, caller, "hour", moment.hour),
        Entry(property_id, category, "", "hour", moment.hour),
        Entry(property_id, category, "", "day", moment.day),
    )


def _status(consumed: int, used: int, limit: int) -> dict[str, Any]:
    return {"consumed": consumed, "remaining": max(0, limit - used) if limit else NO_LIMIT}
