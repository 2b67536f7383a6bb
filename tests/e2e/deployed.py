"""Code as it is deployed: a copy of the packages in which a fault is made and mended again."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = (
    "tallymark", "stores", "collector", "beam_pipelines", "assets", "dagster_project",
    "report_api", "cli",
)  # fmt: skip


class Deployed:
    """The packages in a folder of their own, which a stack may run.

    Args:
        folder: Made here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for package in PACKAGES:
            shutil.copytree(
                ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
            )

    def change(self, path: str, before: str, after: str) -> None:
        """Put ``after`` in the place of the only ``before`` in a file.

        Raises:
            AssertionError: when the file does not hold it exactly once.
        """
        text = (self.folder / path).read_text()
        assert text.count(before) == 1, f"{path}: expected {before!r} once"
        self._install(path, text.replace(before, after))

    def mend(self, path: str) -> None:
        """Install the file of the working copy."""
        self._install(path, (ROOT / path).read_text())

    def _install(self, path: str, text: str) -> None:
        partial = (self.folder / path).with_suffix(".partial")
        partial.write_text(text)
        partial.replace(self.folder / path)
