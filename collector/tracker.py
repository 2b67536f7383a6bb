"""The tracker script: served from memory, cached by browsers for an hour, then asked for by tag."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flask import Response, request

MAX_AGE_SECONDS: Final = 3600


@dataclass(frozen=True)
class Tracker:
    """The script and its tag."""

    script: bytes
    etag: str

    @classmethod
    def load(cls) -> "Tracker":
        """Read the script that lies beside this module."""
        script = (Path(__file__).parent / "static" / "t.js").read_bytes()
        return cls(script, hashlib.sha256(script).hexdigest()[:16])

    def response(self) -> Response:
        """The script, or 304 to a browser that has it."""
        response = Response(self.script, mimetype="text/javascript")
        response.set_etag(self.etag)
        response.cache_control.public = True
        response.cache_control.max_age = MAX_AGE_SECONDS
        # Pages of any origin may load it, with a crossorigin attribute or without.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.make_conditional(request)
        return response
