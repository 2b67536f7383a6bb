"""What is wrong with a request: everything together, each with its place."""

from collections.abc import Sequence


class InvalidRequestError(ValueError):
    """A request that cannot be answered; ``problems`` are sentences for its sender."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))
