"""Enrichment: what is known of a hit beyond what it says, each thing by a module of its own."""

from tallymark.enrichment.bots import with_bots
from tallymark.enrichment.sources import with_sources
from tallymark.enrichment.user_agents import with_devices

__all__ = ["with_bots", "with_devices", "with_sources"]
