"""Data Processing: the Beam pipelines. As little logic as possible; the domain is in tallymark."""
