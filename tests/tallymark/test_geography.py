"""Countries of networks, and what comes of them in hits."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tallymark.geography import VARIABLE, countries_of, database_name
from tests.tallymark.recorded import SHOP, processed, server, web


@pytest.mark.parametrize(
    ("network", "country"),
    [
        ("8.8.8.0/24", "US"), ("193.5.216.0/24", "CH"), ("81.2.69.0/24", "GB"),
        ("2001:4860:4860::/48", "US"), ("2a02:120b::/48", "CH"),
        ("203.0.113.0/24", ""), ("127.0.0.0/24", ""), ("10.1.2.0/24", ""), ("::/48", ""),
        ("", ""), ("nonsense", ""), ("999.1.1.0/24", ""),
    ],
)  # fmt: skip
def test_a_network_is_in_a_country_or_nobody_knows(network: str, country: str) -> None:
    assert countries_of(pl.Series([network])).to_list() == [country]


def test_each_network_of_a_column_has_its_country() -> None:
    networks = pl.Series(["8.8.8.0/24", "", "193.5.216.0/24", "8.8.8.0/24"])

    assert countries_of(networks).to_list() == ["US", "", "CH", "US"]


def country(request: dict[str, object]) -> str:
    return str(processed(request).hits["country"][0])


def test_a_trusted_proxy_knows_better_than_the_network() -> None:
    query = f"tid={SHOP}&cid=1&en=a"

    assert country(web(query, ip_network="8.8.8.0/24", country_hint="")) == "US"
    assert country(web(query, ip_network="8.8.8.0/24", country_hint="CH")) == "CH"
    assert country(web(query, ip_network="", country_hint="")) == ""


def test_the_network_of_a_server_says_nothing_of_its_visitors() -> None:
    body = '{"client_id":"1","events":[{"name":"a"}]}'

    assert country(server(body, ip_network="8.8.8.0/24", country_hint="")) == ""


def named(path: object) -> subprocess.CompletedProcess[str]:
    code = "from tallymark.geography import database_name; print(database_name())"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={VARIABLE: str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_another_database_is_taken_where_one_is_named(tmp_path: Path) -> None:
    import geoacumen  # says where its file lies

    copy = tmp_path / "better.mmdb"
    copy.write_bytes(Path(geoacumen.db_path).read_bytes())

    assert named(copy).stdout.strip() == database_name()


@pytest.mark.parametrize("content", [None, b"no database"])
def test_a_database_that_cannot_be_read_is_told_with_its_path(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.mmdb"
    if content is not None:
        path.write_bytes(content)

    ended = named(path)

    assert ended.returncode != 0
    assert f"{VARIABLE}: expected a database" in ended.stderr
    assert str(path) in ended.stderr
