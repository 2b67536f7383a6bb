"""The tracker script: served from memory, cached by browsers for an hour, then asked for by tag.

``static/t.js`` is built of ``static/tracker/`` by ``scripts/build_tracker.sh``.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import brotli
from flask import Response, request

MAX_AGE_SECONDS: Final = 3600
PLAIN: Final = "identity"


@dataclass(frozen=True)
class Tracker:
    """The script as it is sent.

    Attributes:
        encoded: By content encoding, the smallest first.
        tag: Changes with the script.
    """

    encoded: dict[str, bytes]
    tag: str

    @classmethod
    def load(cls) -> "Tracker":
        """Read the script that lies beside this module."""
        script = (Path(__file__).parent / "static" / "t.js").read_bytes()
        encoded = {
            "br": brotli.compress(script, mode=brotli.MODE_TEXT),
            "gzip": gzip.compress(script, mtime=0),
            PLAIN: script,
        }
        return cls(encoded, hashlib.sha256(script).hexdigest()[:16])

    def response(self) -> Response:
        """The script, or 304 to a browser that has it."""
        encoding = request.accept_encodings.best_match(self.encoded, PLAIN)
        response = Response(self.encoded[encoding], mimetype="text/javascript")
        response.set_etag(f"{self.tag}-{encoding}")
        if encoding != PLAIN:
            response.content_encoding = encoding
        response.vary.add("Accept-Encoding")
        response.cache_control.public = True
        response.cache_control.max_age = MAX_AGE_SECONDS
        # Pages of any origin may load it, with a crossorigin attribute or without.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.make_conditional(request)
        return response
