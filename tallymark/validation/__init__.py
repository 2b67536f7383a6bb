"""Validation: what Google's servers would say to a request, for those who try one out.

Nothing here decides what counts: collection takes whatever comes, as Google's does.
"""
