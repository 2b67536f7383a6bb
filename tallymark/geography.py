"""Geography: the country of a network, as a database in MaxMind's format knows it.

The database comes with a package (Geoacumen, Apache-2.0) unless ``TALLYMARK_GEO_DATABASE`` names a
better one. It is read where hits are understood and not where they are taken, so that a replay with
a newer database mends the countries of old hits.
"""

import os
from functools import lru_cache
from typing import Final

import geoacumen
import maxminddb
import polars as pl

from tallymark.distinct import mapped

VARIABLE: Final = "TALLYMARK_GEO_DATABASE"
_MAX_CACHED: Final = 200_000


class DatabaseError(ValueError):
    """The database of countries cannot be read."""


def countries_of(networks: pl.Series) -> pl.Series:
    """ISO codes of the countries of networks (``198.51.100.0/24``), "" where nobody knows.

    Raises:
        DatabaseError: when there is no database to look into.
    """
    return mapped(networks, _countries)


def database_name() -> str:
    """Which database it is, and of when: another one may know other countries.

    Raises:
        DatabaseError: when it cannot be read.
    """
    facts = _reader().metadata()
    return f"{facts.database_type} {facts.build_epoch}"


@lru_cache(maxsize=1)
def _reader() -> maxminddb.Reader:
    path = os.environ.get(VARIABLE) or geoacumen.db_path
    try:
        return maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise DatabaseError(
            f"{VARIABLE}: expected a database of countries in MaxMind's format at {path}, got "
            f"{error}. Name another file, or leave the variable out to use the one that comes along"
        ) from error


def _countries(networks: pl.Series) -> pl.Series:
    return pl.Series([_country(network) for network in networks], dtype=pl.String)


@lru_cache(maxsize=_MAX_CACHED)
def _country(network: str) -> str:
    address, _, _ = network.partition("/")
    try:
        found = _reader().get(address)
    except ValueError:  # no address
        return ""
    country = found.get("country") if isinstance(found, dict) else None
    code = country.get("iso_code") if isinstance(country, dict) else None
    return code if isinstance(code, str) and len(code) == 2 else ""
