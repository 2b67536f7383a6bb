"""A preview of rules as people read it."""

from collections.abc import Iterator
from typing import Any

_AMOUNTS = ("revenue_micros",)


def preview_lines(found: dict[str, Any]) -> Iterator[str]:
    """Metrics before and after, how many hits each rule applies to, and examples."""
    drawn = f", of {found['share_of_clients']:.1%} of the clients" if found["sampled"] else ""
    yield (
        f"{found['from']} to {found['to']}: {found['hits']:,} hits{drawn}, "
        f"{found['changed_hits']:,} would be otherwise"
    )
    yield f"{'':20}{'now':>14}{'then':>14}{'change':>14}"
    for name, metric in found["metrics"].items():
        numbers = (_number(name, metric[side]) for side in ("before", "after", "change"))
        yield f"{name.removesuffix('_micros'):20}" + "".join(f"{text:>14}" for text in numbers)
    for rule in found["rules"]:
        called = rule.get("kind") or rule.get("name") or rule.get("event")
        yield f"{rule['where']:20}{rule['hits']:>14,}  {called}"
    for example in found["examples"]:
        yield example["hit_id"]
        for field, change in example["changes"].items():
            yield f"    {field}: {change['before']!r} -> {change['after']!r}"


def _number(name: str, value: int) -> str:
    return f"{value / 1_000_000:,.2f}" if name in _AMOUNTS else f"{value:,}"
