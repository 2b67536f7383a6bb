"""What workers know of properties: enough to judge a secret, never from an old file."""

import hashlib
import json
from pathlib import Path

from collector.known_properties import KnownProperties


def test_a_secret_of_a_property_made_a_moment_ago_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "properties.json"
    path.write_text('{"properties": []}')
    known = KnownProperties(path)
    digest = hashlib.sha256(b"secret").hexdigest()
    entry = {"measurement_id": "G-NEW0000001", "api_secret_hash": digest}
    path.write_text(json.dumps({"properties": [entry]}))
    assert known.accepts_secret("G-NEW0000001", "secret")
    assert not known.accepts_secret("G-NEW0000001", "another")
