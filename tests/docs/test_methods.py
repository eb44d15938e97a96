"""Every method has its page; every equation names a function that exists; tables are those of the code."""

import re
import sys
from pathlib import Path

import pytest

from fastrl.envs import registry
from fastrl.recipes.table import RECIPES

pytest.importorskip("latex2mathml", reason="the extra docs")
ROOT = Path(__file__).parents[2]
METHODS = ROOT / "docs" / "methods"
sys.path.insert(0, str(ROOT / "docs" / "generator"))
try:
    import curves
    import equations
    import links
    import methods
    import reference
finally:
    sys.path.pop(0)

EQUATION = re.compile(r"^```math\n(.*?)^```\n\n(.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
DEVIATIONS = re.compile(r"^deviations: \[(.*)\]$", re.MULTILINE)


def test_every_recipe_has_a_page_and_a_place_in_the_navigation():
    assert {path.stem for path in METHODS.glob("*.md")} == {*RECIPES, "index"}
    listed = re.findall(r"methods/([\w-]+)\.md", (ROOT / "mkdocs.yml").read_text())
    assert set(listed) == {*RECIPES, "index"} and len(listed) == len(set(listed))


@pytest.mark.parametrize("name", RECIPES)
def test_every_equation_names_a_function_that_is_in_the_reference(name):
    text = (METHODS / f"{name}.md").read_text()
    found = EQUATION.findall(text)
    assert len(found) == text.count("```math")
    for formula, said in found:
        named = [(module.replace("/", "."), function) for module, function in links.NAMED.findall(said) if function]
        assert named, f"{formula} names no function"
        assert all(module in reference.modules() for module, _ in named), said
        assert "<math" in equations.convert(f"```math\n{formula}```")


@pytest.mark.parametrize("name", RECIPES)
def test_the_idea_is_some_sentences(name):
    idea = (METHODS / f"{name}.md").read_text().split("## The idea\n")[1].split("\n## ")[0]
    assert 4 <= len(re.findall(r"[.?](?:\s|$)", idea)) <= 8


def test_deviations_are_rows_of_papers():
    rows, marked = methods.papers()
    assert len(rows) > 60 and rows["D4, the actor's Q"][-1] == "minimum; `--actor-q mean`"
    assert "lengthened" in marked["First update"]
    for name in RECIPES:
        (given,) = DEVIATIONS.findall((METHODS / f"{name}.md").read_text())
        for pattern in re.findall(r'"(.*?)"', given):
            pattern = pattern.replace("\\\\", "\\")
            assert any(re.search(pattern, key) for key in [*rows, *marked]), f"{name}: {pattern} is in no table"
    assert methods.deviations_of(["^nothing of this name"]) == ""


def test_every_deviation_of_a_method_is_on_a_page():
    rows, _ = methods.papers()
    text = "\n".join(methods.deviations_of(_patterns(name)) for name in RECIPES)
    general = ("data of AntMaze", "AntMaze's own data", "Kitchen", "Adroit binary", "D13")
    assert [key for key in rows if f"| {key} |" not in text and not key.startswith(general)] == []


def _patterns(name: str) -> list[str]:
    (given,) = DEVIATIONS.findall((METHODS / f"{name}.md").read_text())
    return [pattern.replace("\\\\", "\\") for pattern in re.findall(r'"(.*?)"', given)]


def test_defaults_are_those_of_the_code():
    assert methods.flat("wsrl", "hopper")["`finetune.utd`"] == "4"
    assert methods.flat("wsrl", "hopper")["`pretrain.steps`"] == "250,000"
    table = methods.defaults("wsrl")
    assert "| `--utd` | 1 | 4 | 4 | critic updates per environment step" in table
    assert "| `--cql-actions` | 10 |  |  |" in table
    assert "`critic_hidden` 256,256,256,256" in methods.by_domain("wsrl")
    assert [registry.row(env).domain for env in methods.EXAMPLES.values()] == list(methods.EXAMPLES)


def test_a_curve_is_that_of_the_committed_rows():
    assert set(curves.CURVES) == set(RECIPES)
    at = dict(curves.points("claims/wsrl/maze", "wsrl", "online"))
    assert at[1000] == [0.55, 0.675, 0.55, 0.6, 0.625] and curves.mean(at[1000]) == pytest.approx(0.6)
    picture = curves.of("wsrl")
    assert picture.count('class="seed"') == 5 and "claims.md#figure-7-without-offline-data" in picture


def test_links_out_of_docs_become_pages_or_files():
    wanted: set[str] = set()
    text = links.rewrite(
        "[a](../PAPERS.md#x) ![b](../benchmarks/results/demo.png) [c](../benchmarks/results) [d](claims.md)"
        "\n```\n[e](../PAPERS.md)\n```\n",
        Path("docs"),
        "index.md",
        wanted,
    )
    assert text.startswith("[a](project/papers.md#x) ![b](files/benchmarks/results/demo.png) c [d](claims.md)")
    assert "[e](../PAPERS.md)" in text and wanted == {"benchmarks/results/demo.png"}
    named = links.functions("`fastrl/algorithms/sac.py::sac` `fastrl/nothing.py::x`", {"fastrl.algorithms.sac": "a"})
    assert named == "[`fastrl/algorithms/sac.py::sac`][fastrl.algorithms.sac.sac] `fastrl/nothing.py::x`"


def test_a_prime_stands_beside_its_letter_and_a_function_has_room():
    """Fonts without a table of mathematics have no large prime for a superscript."""
    found = equations.formula(r"Q(s'_k, a')^2 \log x", "inline")
    prime = '<mo lspace="0" rspace="0">\N{PRIME}</mo>'
    assert f"<msub><mrow><mi>s</mi>{prime}</mrow><mi>k</mi></msub>" in found
    assert f"<mi>a</mi>{prime}" in found and found.count("<msup>") == 1
    assert '<mo lspace="0.17em" rspace="0.17em">log</mo>' in found
