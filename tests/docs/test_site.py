"""The site as it is built: no broken link or anchor, nothing from another host, every page in reach of the first."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
    pytest.importorskip(package, reason="the extra docs")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in LOADING and LOADING[tag] in found and found.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(found[LOADING[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The built pages by their file."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    yield {path: Page(path.read_text()) for path in out.rglob("*.html")}
    shutil.rmtree(out)


def broken(site: dict[Path, Page]) -> list[str]:
    """`page -> link` of every link inside the site that leads nowhere."""
    lines = []
    for path, page in site.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchored = not parts.fragment or target not in site or unquote(parts.fragment) in site[target].anchors
            if not target.exists() or not anchored:
                lines.append(f"{path.name} -> {link}")
    return lines


def test_links_and_anchors_lead_somewhere(site):
    assert broken(site) == []
    assert sum(len(page.links) for page in site.values()) > 1000


def test_nothing_comes_from_another_host(site):
    loads = {load for page in site.values() for load in page.loads}
    assert [load for load in loads if urlsplit(load).netloc] == []
    css = (ROOT / "docs" / "site.css").read_text()
    assert "http" not in css and "@import" not in css


def test_pages_hold_what_is_generated(site):
    names = {path.name: path.read_text() for path in site if path.parent.name in ("methods", "reference")}
    wsrl = names["wsrl.html"]
    assert wsrl.count("<math") >= 4 and "```" not in wsrl and "--cql-actions" in wsrl and 'class="seed"' in wsrl
    assert 'href="../reference/algorithms.html#fastrl.algorithms.sac.td_target"' in wsrl
    assert all(f'id="fastrl.{name}"' in names["index.html"] for name in ("api.run", "agent.Agent"))


def test_every_public_name_is_in_the_reference(site):
    import fastrl

    anchors = set().union(*(page.anchors for path, page in site.items() if path.parent.name == "reference"))
    known = {anchor.rpartition(".")[2] for anchor in anchors if anchor.startswith("fastrl.")}
    missing = {name for name in fastrl.__all__ if name not in known}
    assert missing <= {"__version__", "envs", "statistics", "load_agent"}, missing


def test_a_broken_link_is_noticed(tmp_path):
    for name in ("a.html", "b.html"):
        (tmp_path / name).touch()
    page = Page('<a id="x" href="a.html#y"></a><a href="nowhere.html"></a><a href="#x"></a><img src="http://h/i.png">')
    other = Page("")
    found = broken({tmp_path / "b.html": page, (tmp_path / "a.html"): other})
    assert found == ["b.html -> a.html#y", "b.html -> nowhere.html"] and page.loads == ["http://h/i.png"]
    assert re.search("http", page.loads[0])
