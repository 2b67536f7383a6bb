"""The configuration service in the process of a test: a client for each kind of key."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

from config_api.app import create_app
from config_api.database import Database
from config_api.folder import ConfigFolder
from config_api.opening import open_configuration
from config_api.publication import publish
from stores.archive.opening import open_objects
from stores.replay_wishes import ReplayWishes
from stores.rule_previews import RulePreviews
from stores.wide_rows.opening import open_wide_rows


@dataclass
class Api:
    """A service over a data folder, asked with its first owner's key unless told otherwise."""

    app: Flask
    database: Database
    folder: ConfigFolder

    @property
    def owner(self) -> str:
        return self.folder.owner_key.read_text().strip()

    @property
    def feed(self) -> str:
        return self.folder.feed_key.read_text().strip()

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None,
            **headers: str) -> Any:  # fmt: skip
        """The response; headers are named with ``_`` for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = f"Bearer {self.owner if key is None else key}"
        client = self.app.test_client()
        return client.open(path, method=method, json=body, headers=sent)

    def made(self, path: str, body: Any, key: str | None = None, **headers: str) -> Any:
        """What a POST answers that must be done."""
        answer = self.ask("POST", path, body, key, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json

    def account(self, name: str = "Inn") -> str:
        made: str = self.made("/v1/accounts", {"display_name": name})["name"]
        return made

    def property(self, account: str, name: str = "Shop", **rules: Any) -> str:
        body = {"parent": account, "display_name": name, "rules": rules}
        made: str = self.made("/v1/properties", body)["name"]
        return made

    def key(self, parent: str | None, scopes: list[str], role: str | None = None) -> str:
        body = {"display_name": "Key", "scopes": scopes, "parent": parent, "role": role}
        made: str = self.made("/v1/keys", body)["secret"]
        return made


@contextmanager
def listening(app: Flask) -> Iterator[str]:
    """The application behind a server of this process; its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running_api(data: Path) -> Iterator[Api]:
    folder = ConfigFolder(data / "rules")
    database = open_configuration(folder)
    app = create_app(
        database=database,
        publish=partial(publish, database, folder.properties),
        previews=RulePreviews(open_objects(f"file:{data / 'archive'}")),
        wishes=ReplayWishes(open_wide_rows(f"sqlite:{data / 'wide_rows.sqlite'}")),
    )
    try:
        yield Api(app, database, folder)
    finally:
        database.close()
