"""Rules as people write them: YAML or JSON files."""

import json
import re
from pathlib import Path
from typing import Any, Final

import click
import yaml

MAX_BYTES: Final = 1_000_000


class RulesLoader(yaml.SafeLoader):
    """YAML of which only ``true`` and ``false`` are truths: ``off`` is a text, and so is a day.

    A name that stands twice in a mapping is refused.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping in which each name stands once."""
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, name in enumerate(names):
            if name in names[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} stands here for the second time", mark
                )
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


_TRUTH: Final = "tag:yaml.org,2002:bool"
_DAY: Final = "tag:yaml.org,2002:timestamp"
RulesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_TRUTH, _DAY)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
RulesLoader.add_implicit_resolver(_TRUTH, re.compile(r"true|false"), list("tf"))


def read_rules(path: Path) -> object:
    """What a file holds; ``-`` is standard input.

    Raises:
        click.ClickException: when it is neither YAML nor JSON, saying where.
    """
    with click.open_file(str(path), "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise click.ClickException(f"{path}: expected up to {MAX_BYTES:,} bytes, got more")
    try:
        if path.suffix == ".json":
            return json.loads(content)
        return yaml.load(content, Loader=RulesLoader)  # noqa: S506  it is a safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise click.ClickException(f"{path}: expected YAML or JSON: {error}") from error


def rules_text(document: object, *, as_json: bool) -> str:
    """A document as a file of it would say it."""
    if as_json:
        return json.dumps(document, ensure_ascii=False, indent=2)
    shown = yaml.dump(document, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True)
    return shown.rstrip("\n")


def commented_text(title: str, document: object) -> str:
    """A document under a title, all of it as a comment."""
    lines = [f"{title}:", *rules_text(document, as_json=False).splitlines()]
    return "\n".join(f"# {line}" for line in lines)
