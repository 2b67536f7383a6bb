"""The player: sends a schedule of requests over several connections and notes what came of it."""

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from cli.simulator.connection import Connection, UnknownResultError, UnsentError
from cli.simulator.records import log_row
from cli.simulator.requests import PlannedRequest
from cli.simulator.schedule import Due
from stores.clock import SPEED, stopwatch, utc_us

QUEUED_REQUESTS: Final = 200
"""How far a connection may fall behind before the schedule waits for it."""
MAX_ATTEMPTS: Final = 20
_LAST_RETRY_SECONDS: Final = 5.0


class Player:
    """Plays a schedule once.

    The requests of one client travel over one connection, one after the other, so that they
    arrive in the order in which they were made.

    Args:
        url: Of the collector.
        connections: How many are open at a time.
        retry: Send again, with the same content, what was not accepted. Without it a request is
            sent once, whatever comes of it.
        log: Takes each row of the log.
    """

    def __init__(
        self, url: str, *, connections: int, retry: bool, log: Callable[[dict[str, Any]], None]
    ) -> None:
        self._connections = [Connection(url) for _ in range(connections)]
        self._queues: list[asyncio.Queue[PlannedRequest | None]] = [
            asyncio.Queue(QUEUED_REQUESTS) for _ in self._connections
        ]
        self._retry = retry
        self._log = log
        self._started = 0.0
        self._stopping = asyncio.Event()
        self.outcomes: Counter[str] = Counter()

    def stop(self) -> None:
        """Send nothing more of the schedule; what is queued is still sent."""
        self._stopping.set()

    async def play(self, dues: Iterator[Due]) -> None:
        """Send everything at its time, or as soon after as the collector lets us."""
        self._started = stopwatch()
        async with asyncio.TaskGroup() as tasks:
            for connection, queue in zip(self._connections, self._queues, strict=True):
                tasks.create_task(self._send_queued(connection, queue))
            await self._dispatch(dues)
            for queue in self._queues:
                await queue.put(None)

    async def _dispatch(self, dues: Iterator[Due]) -> None:
        for due in dues:
            wait = self._started + due.seconds - stopwatch()
            if wait > 0:
                await self._sleep(wait / SPEED)
            if self._stopping.is_set():
                return
            lane = zlib.crc32(due.request.client_id.encode()) % len(self._queues)
            await self._queues[lane].put(due.request)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _send_queued(
        self, connection: Connection, queue: asyncio.Queue[PlannedRequest | None]
    ) -> None:
        while (request := await queue.get()) is not None:
            for attempt in range(1, MAX_ATTEMPTS + 1):
                outcome = await self._send(connection, request, attempt)
                if outcome == "accepted" or not self._retry:
                    break
                await asyncio.sleep(min(0.1 * 2**attempt, _LAST_RETRY_SECONDS))
            self.outcomes[outcome] += 1
        connection.close()

    async def _send(self, connection: Connection, request: PlannedRequest, attempt: int) -> str:
        sent_at = utc_us()
        offset_seconds = stopwatch() - self._started
        status = 0
        try:
            status = await connection.send(request)
            outcome = "accepted" if 200 <= status < 300 else "refused"
        except UnsentError:
            outcome = "unsent"
        except UnknownResultError:
            outcome = "unknown"
        row = log_row(
            request.number,
            attempt,
            sent_at=sent_at,
            offset_seconds=offset_seconds,
            outcome=outcome,
            status=status,
        )
        self._log(row)
        return outcome
