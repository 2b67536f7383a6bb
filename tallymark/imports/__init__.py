"""Imports: records of other systems as the requests that a collector would have recorded.

A format is one module: rows of a file go in, requests and what is skipped come out.
"""
