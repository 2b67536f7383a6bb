"""Ports and adapters: the bus, the archive, the wide rows and the cache of the rules."""
