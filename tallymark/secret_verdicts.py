"""Verdicts: what the collector says of the secret of a request, which is not kept itself.

A refusal could never be mended, so a collector that follows the change feed gives none: where it
does not know the secret, which may have been made a moment ago, it keeps the hash, and processing
holds that against the property's keys.
"""

from typing import Final

VALID: Final = "valid"
INVALID: Final = "invalid"
HASHED: Final = "sha256:"
"""What the hash of a secret that was not known, in hex digits, follows."""
