"""What the configuration refuses, each with all that somebody needs to mend it."""

from tallymark.problems import Problem


class ConfigurationError(Exception):
    """Something that was asked for and is not done."""


class InvalidConfigurationError(ConfigurationError):
    """All problems of what was sent, together."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class NotFoundError(ConfigurationError):
    """There is no such thing, or it is another's: the two are told alike."""

    def __init__(self, resource: str) -> None:
        super().__init__(f"{resource}: there is none that this key may see")
        self.resource = resource


class ConflictError(ConfigurationError):
    """It cannot be done as things stand."""


class ChangedMeanwhileError(ConfigurationError):
    """Rules were saved by somebody else since they were read.

    Args:
        current: Number of the newest version.
        changes: What it changed, as ``rules_differences`` tells it.
    """

    def __init__(self, current: int, changes: list[dict[str, object]]) -> None:
        super().__init__(f"the rules have changed meanwhile: version {current} is the newest")
        self.current = current
        self.changes = changes


class PositionError(ConfigurationError):
    """The feed cannot go on from there: begin again with what there is."""


class DatabaseUnavailableError(ConfigurationError):
    """The database does not answer, or too slowly for an instant that all keep; try again."""


class DatabaseVersionError(ConfigurationError):
    """The database was migrated by a newer version than this one."""
