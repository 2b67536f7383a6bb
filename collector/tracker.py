"""The tracker script: served from memory, cached by browsers for a while, then asked for by tag.

``static/t.js`` is built of ``static/tracker/`` by ``scripts/build_tracker.sh``. It is a function,
which is called with what is known of the data stream: no other request, no inline script.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import brotli
from flask import Response, request

from collector.known_properties import KnownProperties

MAX_AGE_SECONDS: Final = 3600
STREAM_MAX_AGE_SECONDS: Final = 300
"""Of the script of a data stream, whose switches take effect by then."""
UNTOLD_MAX_AGE_SECONDS: Final = 10
"""Where nobody could be asked about the stream yet."""
_MAX_BUILT: Final = 200
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
    def load(cls, settings: str = "") -> "Tracker":
        """The script that lies beside this module, called with settings.

        Args:
            settings: See ``KnownStream.tracker_settings``.
        """
        function = (Path(__file__).parent / "static" / "t.js").read_bytes().strip()
        script = b"%b(%b)" % (function, settings.encode() or b"{}")
        encoded = {
            "br": brotli.compress(script, mode=brotli.MODE_TEXT),
            "gzip": gzip.compress(script, mtime=0),
            PLAIN: script,
        }
        return cls(encoded, hashlib.sha256(script).hexdigest()[:16])

    def response(self, max_age_seconds: int = MAX_AGE_SECONDS) -> Response:
        """The script, or 304 to a browser that has it."""
        encoding = request.accept_encodings.best_match(self.encoded, PLAIN)
        response = _sendable(Response(self.encoded[encoding]), max_age_seconds)
        response.set_etag(f"{self.tag}-{encoding}")
        if encoding != PLAIN:
            response.content_encoding = encoding
        response.make_conditional(request)
        return response


def tracker_response(known: KnownProperties) -> Response:
    """The script for a page: with the settings of its data stream, where the page names one."""
    measurement_id = request.args.get("id", "")
    if not measurement_id:
        return _built("").response()
    stream = known.find_soon(measurement_id)
    if stream is not None or known.is_unknown(measurement_id):
        settings = stream.tracker_settings if stream is not None else ""
        return _built(settings).response(STREAM_MAX_AGE_SECONDS)
    if request.if_none_match:  # what the browser has is better than nothing
        response = _sendable(Response(status=304), UNTOLD_MAX_AGE_SECONDS)
        response.headers["ETag"] = request.headers["If-None-Match"]
        return response
    return _built("").response(UNTOLD_MAX_AGE_SECONDS)


_built: Final = lru_cache(maxsize=_MAX_BUILT)(Tracker.load)


def _sendable(response: Response, max_age_seconds: int) -> Response:
    """What an answer says to browsers, whatever is in it."""
    response.mimetype = "text/javascript"
    response.vary.add("Accept-Encoding")
    response.cache_control.public = True
    response.cache_control.max_age = max_age_seconds
    # Pages of any origin may load it, with a crossorigin attribute or without.
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
