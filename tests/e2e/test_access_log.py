"""Four days of a real web server, imported and counted: hour by hour what DuckDB says of them."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from stores.rules_cache.documents import decode_properties
from tallymark.processing import process_requests
from tallymark.properties import properties_frame

from .imported import FOLLOWED, Cells, DataFolder, clients, summed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOG = Path(__file__).parent.parent / "data" / "apache_access.log.gz"
HOST = "www.semicomplete.com"
LINE = (
    r'^(\S+) - - \[([^\]]+)\] "(\S+) (\S+) HTTP/1\.[01]" ([0-9]+) (?:[0-9]+|-) '
    r'"([^"]*)" "([^"]*)"$'
)
PAGES = (
    "", "html", "xhtml", "php", "access", "3", "jan05", "markdown", "m4", "mk", "vim", "xs",
    "threads",
)  # fmt: skip
"""How names of pages end, as one reads the log; the others are images, scripts, downloads."""
ENGINES = {
    "google": r"^(images\.|encrypted\.)?google\.[a-z.]+$",
    "bing": r"^bing\.com$",
    "baidu": r"^baidu\.com$",
    "yandex": r"^(images\.)?yandex\.ru$",
    "duckduckgo": r"^(r\.)?duckduckgo\.com$",
    "daum": r"^search\.daum\.net$",
}
"""The search engines among the log's referrers."""
ESCAPED = r"\xe4\xe5\xe3\xf2\xff\xf0\xed\xee\xe5-\xec\xfb\xeb\xee.\xf0\xf4"
"""A referrer that a browser sent in an encoding of its own, as the server logged its bytes."""
SESSIONS = (
    """
    WITH paused AS (
        SELECT *, moment - lag(moment) OVER (PARTITION BY visitor ORDER BY number) AS pause
        FROM views WHERE NOT is_bot),
    numbered AS (
        SELECT *, sum(CAST(pause IS NULL OR pause >= 1800000000 AS INT))
            OVER (PARTITION BY visitor ORDER BY number) AS session FROM paused),
    sessions AS (
        SELECT visitor AS client, arg_min(hour, number) AS hour, min(moment) AS start,
               max(moment) - min(moment) AS duration,
               arg_min(path, number) AS landing, arg_max(path, number) AS exit,
               arg_min(source, number) FILTER (source <> '') AS source,
               arg_min(medium, number) FILTER (source <> '') AS medium, count(*) AS views
        FROM numbered GROUP BY visitor, session)
    """
    + FOLLOWED
)
"""A session of each visitor's run of views without a pause of half an hour."""


@pytest.fixture(scope="module")
def log() -> duckdb.DuckDBPyConnection:
    """The log as a table ``views``: a row a page that was shown, in the order of time."""
    crawlers = [
        re.compile(crawler["pattern"])
        for crawler in CRAWLER_USER_AGENTS_DATA
        if not {"http-library", "browser-automation"}.issuperset(crawler["tags"])
    ]

    def is_bot(user_agent: str) -> bool:
        return any(crawler.search(user_agent) for crawler in crawlers)

    engines = " ".join(
        f"WHEN regexp_matches(site, '{pattern}') THEN '{name}'" for name, pattern in ENGINES.items()
    )
    connection = duckdb.connect()
    connection.create_function("is_bot", is_bot, null_handling="special")
    connection.execute(f"""
        CREATE TABLE lines AS
        SELECT row_number() OVER () AS row, line FROM read_csv('{LOG}', delim = '\x01',
            quote = '', escape = '', header = false, columns = {{'line': 'VARCHAR'}});
        CREATE TABLE requests AS
        SELECT row, found.*,
               epoch_us(strptime(found.time, '%d/%b/%Y:%H:%M:%S %z')) AS moment,
               regexp_extract(found.target, '^[^?#]*') AS path
        FROM (SELECT row, regexp_extract(line, '{LINE}', ['address', 'time', 'method', 'target',
                  'status', 'referrer', 'user_agent']) AS found FROM lines)
        WHERE found.address <> '';
        CREATE TABLE views AS
        SELECT row_number() OVER (ORDER BY moment, row) AS number, moment,
               moment // 3600000000 AS hour, path, target, user_agent, is_bot(user_agent) AS is_bot,
               regexp_replace(address, '[0-9]+$', '') || user_agent AS visitor, '' AS source,
               '' AS medium, regexp_replace(
                   lower(regexp_extract(referrer, '://([^/?#:]+)', 1)), '^www\\.', '') AS site
        FROM requests
        WHERE method IN ('GET', 'HEAD') AND status IN ('200', '304')
          AND lower(regexp_extract(path, '\\.([A-Za-z0-9]+)$', 1)) IN {PAGES};
        UPDATE views SET source = CASE {engines} ELSE site END,
                         medium = CASE {engines} ELSE '' END
        WHERE site NOT IN ('', 'semicomplete.com');
        UPDATE views SET medium = if(medium = '', 'referral', 'organic') WHERE source <> '';
        UPDATE views SET source = regexp_extract(target, 'utm_source=([^&]*)', 1),
                         medium = regexp_extract(target, 'utm_medium=([^&]*)', 1)
        WHERE target LIKE '%utm_source=%';
    """)
    connection.execute(
        "UPDATE views SET source = ? WHERE source = ?",
        [ESCAPED.encode().decode("unicode_escape"), ESCAPED],
    )
    return connection


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    """A data folder into which the log was imported."""
    made = DataFolder.make(tmp_path_factory.mktemp("log") / "data")
    made.import_files("access-log", LOG, f"--host={HOST}")
    return made


@pytest.fixture(scope="module")
def counted(folder: DataFolder) -> Cells:
    """The cells that the import was counted to."""
    return folder.counted()


def _rows(log: duckdb.DuckDBPyConnection, query: str) -> set[tuple[Any, ...]]:
    return set(log.execute(query).fetchall())


def test_each_line_is_imported_or_skipped_for_the_reason_that_the_log_shows(
    log: duckdb.DuckDBPyConnection, folder: DataFolder
) -> None:
    told = folder.import_files("access-log", LOG)
    (views,) = log.execute("SELECT count(*) FROM views").fetchone() or (0,)
    assert told["imported"] == views > 3_000
    assert sum(told["skipped"].values()) == 10_000 - views
    assert told["skipped"] == {"not_combined": 1} | dict(
        log.execute(f"""
            SELECT CASE WHEN method NOT IN ('GET', 'HEAD') THEN 'method'
                        WHEN status NOT IN ('200', '304') THEN 'status'
                        ELSE 'asset' END AS reason, count(*)
            FROM requests
            WHERE method NOT IN ('GET', 'HEAD') OR status NOT IN ('200', '304')
               OR lower(regexp_extract(path, '\\.([A-Za-z0-9]+)$', 1)) NOT IN {PAGES}
            GROUP BY ALL
        """).fetchall()
    )


def test_hits_of_crawlers_are_tagged_and_no_others(
    log: duckdb.DuckDBPyConnection, folder: DataFolder
) -> None:
    owners = properties_frame(
        decode_properties((folder.path / "rules" / "properties.json").read_bytes())
    )
    hits = process_requests(folder.requests(), lambda _: owners).hits
    keys = ["event_at", "path", "excluded_by"]
    expected = _rows(
        log, "SELECT moment, path, if(is_bot, 'bot', '') AS tag, count(*) FROM views GROUP BY ALL"
    )
    tagged = sum(count for *_, tag, count in expected if tag == "bot")

    assert set(hits.group_by(keys).len().rows()) == expected
    assert 500 < tagged < 3_000


def test_views_by_page_and_hour_are_those_of_the_log(
    log: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    expected = _rows(
        log,
        f"SELECT hour, '{HOST}', path, count(*) FROM views WHERE NOT is_bot GROUP BY ALL",
    )
    assert len(expected) > 1_000
    assert summed(counted["pages"], ["host", "path"], "views") == expected


def test_visitors_by_hour_and_by_page_are_those_of_the_log(
    log: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    assert clients(counted["totals"], []) == _rows(
        log, "SELECT hour, count(DISTINCT visitor) FROM views WHERE NOT is_bot GROUP BY ALL"
    )
    assert clients(counted["pages"], ["path"]) == _rows(
        log, "SELECT hour, path, count(DISTINCT visitor) FROM views WHERE NOT is_bot GROUP BY ALL"
    )


def test_sessions_by_source_landing_and_exit_are_those_of_the_log(
    log: duckdb.DuckDBPyConnection, counted: Cells
) -> None:
    (longest,) = log.execute(f"{SESSIONS} SELECT max(duration) FROM sessions").fetchone() or (0,)
    assert longest < 4 * 3_600_000_000, "a session that is cut would need another oracle"
    by_source = _rows(
        log,
        f"{SESSIONS} SELECT hour, last_source, last_medium, count(*) FROM told GROUP BY ALL",
    )
    assert len(by_source) > 200
    assert len({row[1] for row in by_source}) > 50
    assert summed(counted["acquisition"], ["source", "medium"], "sessions") == by_source
    assert summed(counted["visitors"], ["new_vs_returning"], "sessions") == _rows(
        log, f"{SESSIONS} SELECT hour, kind, count(*) FROM told GROUP BY ALL"
    )
    assert summed(counted["landing"], ["landing_page"], "sessions") == _rows(
        log, f"{SESSIONS} SELECT hour, landing, count(*) FROM sessions GROUP BY ALL"
    )
    assert summed(counted["totals"], [], "session_duration_ms") == _rows(
        log,
        f"""{SESSIONS} SELECT hour, CAST(sum(duration) // 1000 AS BIGINT) AS ms FROM sessions
            GROUP BY ALL HAVING ms > 0""",
    )
    assert summed(counted["totals"], [], "engaged_sessions") == _rows(
        log,
        f"""{SESSIONS} SELECT hour, count(*) FROM sessions WHERE views > 1 GROUP BY ALL""",
    )
