"""The screen: lines of all services and, on a terminal, a table of their states below them."""

from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.service import Child, State

_COLOURS: Final = {
    State.READY: "green",
    State.STARTING: "yellow",
    State.UNREADY: "yellow",
    State.BACKOFF: "red",
    State.KILLED: "red",
}
_NAME_COLUMNS: Final = 14


class PlainScreen:
    """Lines only: for files, pipes and other programs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def line(self, name: str, text: str) -> None:
        """Print ``text`` behind the service's name."""
        print(f"{name:<{_NAME_COLUMNS}}| {text}", flush=True)

    def update(self, children: list[Child]) -> None:
        """Changes of state are told as lines by the supervisor."""


class TableScreen:
    """Lines that scroll above a table that stays."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def line(self, name: str, text: str) -> None:
        """Print ``text`` behind the service's name."""
        prefix = (f"{name:<{_NAME_COLUMNS}}| ", "cyan")
        self._live.console.print(Text.assemble(prefix, text), soft_wrap=True)

    def update(self, children: list[Child]) -> None:
        """Draw the table again."""
        self._live.update(table_of(children), refresh=True)


def table_of(children: list[Child]) -> Table:
    """A row a service: state, pid, restarts, address."""
    table = Table("service", "state", "pid", "restarts", "address")
    for child in children:
        state = Text(child.state, style=_COLOURS.get(child.state, ""))
        pid = str(child.pid) if child.pid is not None else ""
        table.add_row(child.service.name, state, pid, str(child.restarts), child.service.address)
    return table


def open_screen() -> PlainScreen | TableScreen:
    """The table on a terminal, plain lines elsewhere."""
    console = Console()
    return TableScreen(console) if console.is_terminal else PlainScreen()
