"""Hosts: those of addresses, and whether one lies within another."""

from typing import Final

import polars as pl

_HOST: Final = r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#]*@)?(\[[^\]/?#]*\]|[^/?#:]*)"


def host_of(address: pl.Expr) -> pl.Expr:
    """The host that an address names, in lower case; "" where it names none."""
    return address.str.extract(_HOST).fill_null("").str.to_lowercase()


def is_within(host: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Whether a host is another one or a subdomain of it."""
    return (host == other) | host.str.ends_with("." + other)
