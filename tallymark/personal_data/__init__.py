"""Personal data in what sites send without meaning to: taken out before requests leave the machine
that recorded them, and looked for in what has been archived."""

from tallymark.personal_data.redaction import Redacted, in_own_bytes, redacted, without_texts
from tallymark.personal_data.tokens import PRESETS

__all__ = ["PRESETS", "Redacted", "in_own_bytes", "redacted", "without_texts"]
