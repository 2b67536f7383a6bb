"""The guide to rules: what it shows is what is taken."""

import re
from pathlib import Path

import pytest
import yaml

from tallymark.rule_documents import Rules, parse_rules
from tallymark.rule_documents.conditions import FOUND_FIELDS, NUMBER_FIELDS, SENT_FIELDS

GUIDE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.M | re.S)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_document(example: str) -> None:
    document = yaml.safe_load(example)

    said = parse_rules(document).document()
    assert {name: said[name] for name in document} != {}


def test_every_part_of_a_document_is_explained() -> None:
    shown = {name for example in EXAMPLES for name in yaml.safe_load(example)}

    assert shown == set(Rules.model_fields)


@pytest.mark.parametrize("field", [*SENT_FIELDS, *FOUND_FIELDS, *NUMBER_FIELDS])
def test_every_field_that_a_condition_may_test_is_named(field: str) -> None:
    assert f"`{field}`" in GUIDE


def test_every_kind_of_rewrite_is_shown() -> None:
    rewrites = Rules.model_json_schema()["properties"]["rewrites"]
    kinds = set(rewrites["items"]["discriminator"]["mapping"])

    shown = {kind for kind in kinds if f"kind: {kind}" in GUIDE and f"| `{kind}` |" in GUIDE}
    assert shown == kinds
