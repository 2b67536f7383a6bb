"""Visitors: a hash of the day, under a random salt that is destroyed after two days.

The salt lies in a file a day, drawn by whichever worker needs it first and shared by all that
share the folder. Once its file is gone nobody can tell whether two hashes were one visitor, nor
try addresses against them.
"""

import os
import secrets
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Final

DAY_US: Final = 86_400_000_000
_SALT_BYTES: Final = 32


class VisitorHashes:
    """Hashes of visitors, salted by the UTC day of receipt."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._day = -1
        self._salted = blake2b()

    def of(self, address: str, user_agent: str, host: str, received_at: int) -> str:
        """16 hex digits for a visitor (address, browser, host) on the day of ``received_at``.

        Raises:
            OSError: when the salt of the day can be neither read nor drawn.
        """
        day = received_at // DAY_US
        if day != self._day:
            self._salted = blake2b(key=self._salt(day), digest_size=8)
            self._day = day
        digest = self._salted.copy()
        digest.update(f"{address}\0{user_agent}\0{host}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def destroy_old_salts(self, now: int) -> None:
        """Destroy the salts of all days before the day before ``now`` (UTC µs)."""
        oldest_kept = (datetime.fromtimestamp(now // 1_000_000, UTC) - timedelta(days=1)).date()
        for path in self._folder.glob("salt-*"):
            try:
                day = date.fromisoformat(path.name[5:15])
            except ValueError:
                continue
            if day < oldest_kept:
                path.unlink(missing_ok=True)

    def _salt(self, day: int) -> bytes:
        name = f"salt-{datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()}"
        path = self._folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            pass
        self._folder.mkdir(parents=True, exist_ok=True)
        drawn = path.with_name(f"{name}.{secrets.token_hex(8)}")
        descriptor = os.open(drawn, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(_SALT_BYTES))
        finally:
            os.close(descriptor)
        try:
            # Of workers that draw at once, one links its salt and all read that one.
            path.hardlink_to(drawn)
        except FileExistsError:
            pass
        finally:
            drawn.unlink()
        return path.read_bytes()
