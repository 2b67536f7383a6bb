"""The domain of Tallymark: pure functions on Polars frames, from recorded requests to report rows.

Nothing here reads a clock, draws a random number, or knows Beam, Flask, Dagster, a cloud client or
a database. Instants are UTC microseconds (``Int64``), durations integer milliseconds, money and
numeric parameters integer micros.
"""
