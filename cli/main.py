"""The ``tallymark`` command."""

import importlib
from typing import Final

import click

_COMMANDS: Final = {
    "up": "cli.commands.up:up",
    "status": "cli.commands.status:status",
    "property": "cli.commands.property:property_group",
    "rules": "cli.commands.rules:rules_group",
    "keys": "cli.commands.keys:keys_group",
    "simulate": "cli.commands.simulate:simulate",
    "stream": "cli.commands.stream:stream_group",
    "import": "cli.commands.imports:import_group",
    "stale": "cli.commands.stale:stale",
    "replay": "cli.commands.replay:replay",
    "diff": "cli.commands.diff:diff",
    "publish": "cli.commands.publish:publish",
    "rollback": "cli.commands.rollback:rollback",
    "lineages": "cli.commands.lineages:lineages",
    "audit": "cli.commands.audit:audit",
    "sweep": "cli.commands.sweep:sweep",
    "retention": "cli.commands.retention:retention",
    "erase": "cli.commands.erase:erase",
    "export": "cli.commands.export:export_group",
    "hit": "cli.commands.hit:hit",
    "hits": "cli.commands.hits:hits",
    "dead-letters": "cli.commands.dead_letters:dead_letters",
    "personal-data": "cli.commands.personal_data:personal_data",
    "serve": "cli.commands.serve:serve",
}


class LazyGroup(click.Group):
    """Loads the module of a command when it is called for: services start fast and small."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order in which a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of this name."""
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=LazyGroup, context_settings={"auto_envvar_prefix": "TALLYMARK"})
@click.version_option(package_name="tallymark")
def main() -> None:
    """Web analytics whose history can be computed again.

    \b
    Begin with a whole stack on this machine, and visits to look at:
      tallymark up --demo

    \b
    Then, with a property of your own:
      tallymark property create --name "My shop"
      tallymark simulate --to http://127.0.0.1:8000 --measurement-id G-…
      tallymark status

    Every option can be given as an environment variable too: TALLYMARK_, the command, the
    option, as in TALLYMARK_UP_COLLECTOR_PORT.
    """


if __name__ == "__main__":
    main()
