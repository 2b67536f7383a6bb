"""Batches: several requests of one method in one."""

from typing import Any, Final

from tallymark.reports.fields import Reader, normalised
from tallymark.reports.problems import InvalidRequestError
from tallymark.reports.request import Method

MAX_REQUESTS: Final = 5


def batch_requests(document: Any, name: str, method: Method) -> list[Any]:
    """The requests of a batch.

    Args:
        document: Decoded JSON.
        name: Of the method that takes batches.
        method: What each request is of.

    Raises:
        InvalidRequestError: when the batch itself is wrong.
    """
    problems: list[str] = []
    reader = Reader(normalised(document), "", problems)
    reader.only("property", "requests")
    requests = [inner.content for inner in reader.objects("requests")]
    if not (requests or problems):
        reader.say(f"The {name}Request must contain at least one {method.name}Request.")
    if len(requests) > MAX_REQUESTS:
        reader.say(
            f"Batch requests are limited to {MAX_REQUESTS} requests.\n"
            f"  This batch request contains {len(requests)} requests."
        )
    if problems:
        raise InvalidRequestError(problems)
    return requests
