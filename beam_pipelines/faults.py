"""What stopped a worker, kept as it was raised: Beam hands on its text alone."""

from collections.abc import Iterator
from contextlib import contextmanager

_FAULTS: list[BaseException] = []


@contextmanager
def noted() -> Iterator[None]:
    """Note what is raised in here; used where work is done."""
    try:
        yield
    except BaseException as error:
        _FAULTS.append(error)
        raise


@contextmanager
def raised() -> Iterator[None]:
    """Raise what was noted in this process meanwhile in place of what Beam made of it."""
    _FAULTS.clear()
    try:
        yield
    except Exception:
        if _FAULTS:
            raise _FAULTS.pop(0) from None
        raise
    finally:
        _FAULTS.clear()
