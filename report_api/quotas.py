"""Quotas as requests meet them: let in, charged with what the answer cost, let go whatever came."""

import logging
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from report_api.reader import Answer, rules_at
from report_api.turns import FairTurns
from stores.quota_accounts import QuotaAccounts
from tallymark.properties import Property, secret_hash
from tallymark.quotas import Account, Category, Moment, QuotaLedger, QuotaLimits
from tallymark.reports.prices import price
from tallymark.slots import HOUR_US

EXCHANGE_SECONDS: Final = 0.5
"""How old what a worker knows of the others may be."""
AT_ONCE: Final = 4
"""Requests that a worker computes at a time: of these one may wait for the store, two for hits."""
TURN_SECONDS: Final = 30.0
_CALLER_CHARACTERS: Final = 16
"""Of a key's hash; enough to tell the keys of a property apart."""
_LOG: Final = logging.getLogger(__name__)


class Admission:
    """A request that was let in.

    Args:
        quotas: Where it is charged.
        account: Whose it is.
        moment: When it came.
    """

    def __init__(self, quotas: "Quotas", account: Account, moment: Moment) -> None:
        self._quotas = quotas
        self._account = account
        self._moment = moment
        self.is_charged = False

    def charge(self, tokens: int) -> dict[str, dict[str, int]]:
        """Use tokens; returns what is left, as ``PropertyQuota``."""
        self.is_charged = True
        return self._quotas.charge(self._account, self._moment, tokens)

    def charged(self, answer: Answer) -> dict[str, Any]:
        """The document of an answer that is charged, with the quotas where it was to have them."""
        left = self.charge(
            price(
                cell_bytes=answer.cell_bytes,
                hits=answer.freshness.hits_read,
                rows=len(answer.document["rows"]),
            )
        )
        if not answer.tells_quota:
            return answer.document
        return answer.document | {"propertyQuota": left}


class Quotas:
    """The quotas of one worker. Threads may share it.

    What other workers have used is heard twice a second by a thread of its own, so no request waits
    for it. Where the file cannot be used each worker goes by what it knows itself.

    Args:
        limits: Of every property.
        now_us: UTC µs.
        is_server_error: Whether the server is to blame for an exception.
        path: The file of the machine's workers; ``None`` where there is one worker.
    """

    def __init__(
        self,
        limits: QuotaLimits,
        now_us: Callable[[], int],
        *,
        is_server_error: Callable[[BaseException], bool],
        path: Path | None = None,
    ) -> None:
        self._ledger = QuotaLedger(limits)
        self._now_us = now_us
        self._is_server_error = is_server_error
        self._lock = threading.Lock()
        self._exchanging = threading.Lock()
        self._accounts = None if path is None else QuotaAccounts(path, uuid.uuid4().hex)
        self._turns = FairTurns(AT_ONCE, seconds=TURN_SECONDS)
        self._tidied_at = now_us()
        self._is_shared = True
        if self._accounts is not None:
            self.exchange()
            threading.Thread(target=self._keep_exchanging, daemon=True, name="quotas").start()

    @contextmanager
    def admitted(self, owner: Property, category: Category, key: str) -> Iterator[Admission]:
        """Let a request in while the block lasts; it costs a token at least, whatever comes of it.

        Raises:
            QuotaExhaustedError: when it may not be answered.
            NoTurnError: when others were computed all the time.
        """
        now_us = self._now_us()
        moment = Moment.of(now_us, rules_at(owner, now_us).time_zone)
        account = Account(owner.property_id, category, secret_hash(key)[:_CALLER_CHARACTERS])
        with self._lock:
            self._ledger.begin(account, moment)
        admission = Admission(self, account, moment)
        failed = False
        try:
            with self._turns.taken(owner.property_id):
                yield admission
        except BaseException as error:
            failed = self._is_server_error(error)
            raise
        finally:
            with self._lock:
                if not admission.is_charged:
                    self._ledger.charge(account, moment, 1)
                self._ledger.end(account, moment, is_server_error=failed)

    def charge(self, account: Account, moment: Moment, tokens: int) -> dict[str, dict[str, int]]:
        """Charge a request that was let in; returns what is left."""
        with self._lock:
            self._ledger.charge(account, moment, tokens)
            return self._ledger.status(account, moment, tokens)

    def exchange(self) -> None:
        """Say what this worker has used, and hear what others have."""
        if self._accounts is not None:
            with self._exchanging:
                self._exchange(self._accounts)

    def _exchange(self, accounts: QuotaAccounts) -> None:
        now_us = self._now_us()
        with self._lock:
            amounts, running = self._ledger.unsaid(), self._ledger.running
        try:
            others, elsewhere = accounts.exchange(amounts, running, now_us)
            if now_us - self._tidied_at > HOUR_US:
                accounts.forget(now_us)
        except sqlite3.Error as error:
            with self._lock:
                self._ledger.say_again(amounts)
            if self._is_shared:
                _LOG.warning("quotas are of this worker alone: %s", error)
            self._is_shared = False
            return
        self._is_shared = True
        with self._lock:
            for worker, theirs in others.items():
                self._ledger.hear(worker, theirs)
            self._ledger.hear_running(elsewhere)
            if now_us - self._tidied_at > HOUR_US:
                self._ledger.forget(now_us)
                self._tidied_at = now_us

    def _keep_exchanging(self) -> None:
        pause = threading.Event()
        while not pause.wait(EXCHANGE_SECONDS):
            self.exchange()
