"""Which personal data is taken out of hits, as the command line takes it."""

from collections.abc import Callable
from typing import Any, Final

import click

PRESETS: Final = ("mail", "phone", "card")
"""Those of ``tallymark.personal_data``, which is not loaded to show a help text."""
NONE: Final = "none"


class Redaction(click.ParamType[tuple[str, ...]]):
    """``mail,phone,card``, some of them, or ``none``."""

    name = "kinds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The kinds, each once, in the order of ``PRESETS``."""
        if isinstance(value, tuple):
            return value
        named = {word.strip() for word in str(value).split(",")}
        if named == {NONE}:
            return ()
        if not named <= set(PRESETS):
            self.fail(f"expected some of {','.join(PRESETS)}, or {NONE}; got {value!r}", param, ctx)
        return tuple(kind for kind in PRESETS if kind in named)


def redaction_text(kinds: tuple[str, ...]) -> str:
    """What ``Redaction`` makes the same kinds of."""
    return ",".join(kinds) or NONE


redact_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--redact", type=Redaction(), default=",".join(PRESETS), show_default=True, metavar="KINDS",
    help="Personal data that is taken out before hits leave the collector's machine; none: "
    "they go out as they came.",
)  # fmt: skip
