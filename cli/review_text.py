"""Reviews on the screen: how far one is, and what it found."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from stores.reviews import Report, Review


@contextmanager
def progress() -> Iterator[Report]:
    """A bar of properties, on terminals alone."""
    console = Console(stderr=True)
    columns = (
        TextColumn("comparing"),
        BarColumn(),
        TextColumn("{task.completed:g}/{task.total:g} properties"),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task("", total=None)

        def report(done: int, of: int) -> None:
            bars.update(task, completed=done, total=of)

        yield report


def told(review: Review, names: Mapping[int, str]) -> str:
    """Differences, then a line a check."""
    checks = (
        f"  {'passed' if check.passed else 'FAILED'}  {check.name}: {check.reason}"
        for check in review.checks
    )
    return "\n".join([review.differences.text(names), "", "checks", *checks])
