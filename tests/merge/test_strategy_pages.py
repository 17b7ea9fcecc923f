"""The pages of docs/merging: one for each strategy, saying what the registry says."""

from pathlib import Path

import pytest

from plora.merge.registry import CATALOGUE, RULES_OF
from plora.merge.rules import RULES
from plora.merge.spaces import SPACES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_each_strategy_has_its_page(name: str) -> None:
    page = (DOCS / "merging" / f"{name}.md").read_text()
    entry = CATALOGUE[name]
    assert page.startswith(f"# {name}\n")
    assert f"Space `{entry.method.space}`, rule `{entry.method.rule}`" in page and entry.cost in page
    for part in ("From", "Formula", "Cost", "When", "What it loses"):
        assert f"\n**{part}.** " in page
    if "et al." in entry.paper:
        assert entry.paper.split(" et al.")[0] in page


def test_no_page_is_of_nothing() -> None:
    assert {path.stem for path in (DOCS / "merging").glob("*.md")} == set(CATALOGUE)


def test_the_index_has_each_strategy_and_each_pair() -> None:
    index = (DOCS / "merging.md").read_text()
    for name, entry in CATALOGUE.items():
        method = entry.method
        assert (
            f"| [{name}](merging/{name}.md) | `{method.space}` | `{method.rule}` | {entry.cost} | {entry.use} |"
            in index
        )
    for space, rules in RULES_OF.items():
        row = next(line for line in index.splitlines() if line.startswith(f"| `{space}` |"))
        assert row.endswith(f"| {', '.join(rules)} |")


def test_what_the_registry_names_is_there() -> None:
    assert set(RULES_OF) == set(SPACES)
    robust = {rule for rule in RULES_OF["factors"] if rule not in RULES}
    assert {rule for rules in RULES_OF.values() for rule in rules} - robust == set(RULES)
