"""The Data Configuration service: organisations, properties, rules and keys in a SQL database.

``database`` opens it and makes transactions, a module a noun reads and writes rows (``properties``,
``data_streams``, ``keys``, ``rules_versions``, …), ``publication`` writes the copy that workers of
one machine read, and ``app`` is the HTTP API over the same functions.
"""
