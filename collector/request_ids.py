"""Request ids: UUIDv7 as 32 hex digits, ascending with the time of receipt."""

import hashlib
from typing import Final

_VARIANT: Final = 0b10 << 62
_RANDOM_BITS: Final = (1 << 62) - 1
_MAX_MS: Final = (1 << 48) - 1


class RequestIds:
    """Ids of one spool: the time of receipt, then bits that only this spool has.

    Receipt is strictly ascending within a spool, so are its ids, and two spools differ in 62
    random bits.
    """

    def __init__(self, random_bits: int) -> None:
        self._suffix = b"%016x" % (_VARIANT | (random_bits & _RANDOM_BITS))

    def at(self, received_at: int) -> bytes:
        """The id of the request received at ``received_at`` (UTC µs)."""
        return b"%012x7%03x%b" % (received_at // 1_000, received_at % 1_000, self._suffix)


def named_request_id(name: str, time: str) -> bytes | None:
    """The id that every copy of a request carries which was sent more than once.

    A balancer names the requests that it runs, our tracker the hits that it may send again. The
    time part is the one told (milliseconds), the rest a hash of what was told. ``None`` when the
    time cannot be read.
    """
    milliseconds = _milliseconds(time)
    if not name or milliseconds is None:
        return None
    told = f"{time}\0{name}".encode("utf-8", "surrogatepass")
    digest = int.from_bytes(hashlib.blake2b(told, digest_size=10).digest(), "big")
    tail = _VARIANT | (digest & _RANDOM_BITS)
    return b"%012x7%03x%016x" % (milliseconds, digest >> 68, tail)


def _milliseconds(time: str) -> int | None:
    """UTC ms from ``t=1700000000.123``, or from plain seconds, milliseconds or microseconds."""
    whole, _, fraction = time.strip().removeprefix("t=").partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 20):
        return None
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        return None
    value = int(whole)
    if value < 100_000_000_000:  # seconds until the year 5138
        milliseconds = value * 1_000 + int(f"{fraction:0<3.3}")
    elif value < 100_000_000_000_000:
        milliseconds = value
    else:
        milliseconds = value // 1_000
    return milliseconds if milliseconds <= _MAX_MS else None
