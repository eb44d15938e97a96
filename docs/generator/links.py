"""Links that leave `docs/`, pictures that take the page's colours, and names of functions as links to the reference."""

import os
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = "files/"
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "PAPERS.md": "project/papers.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "benchmarks/README.md": "project/measuring.md",
    "benchmarks/LOG.md": "project/tried.md",
    "fastrl/behaviours/README.md": "project/behaviours.md",
}
"""Markdown of the repository that is a page of the site."""

FENCE = re.compile(r"(^(`{3,}).*?^\2\s*?$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)")
PICTURE = re.compile(r"^!\[([^\]]*)\]\(([^)]+\.svg)\)$", re.MULTILINE)
NAMED = re.compile(r"(?<!\[)`((?:fastrl|envs|kernels|benchmarks)/[\w/]*)\.py(?:::([\w.]+))?`")
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """`text` with what is in no fenced block changed."""
    parts = FENCE.split(text)  # text, fence, its ticks, text, ...
    return "".join(change(part) if i % 3 == 0 else part for i, part in enumerate(parts) if i % 3 != 2)


def rewrite(text: str, folder: Path, uri: str, wanted: set[str]) -> str:
    """`text` of a page at `uri`, whose links are relative to `folder`; files out of `docs/` are added to `wanted`."""

    def link(match: re.Match[str]) -> str:
        words, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        path = os.path.normpath(folder / target)
        if not (ROOT / path).exists():
            return match.group(0)  # mkdocs warns of it
        if path in PAGES:
            site = PAGES[path]
        elif path.startswith("docs/"):
            site = path.removeprefix("docs/")
        elif (ROOT / path).is_dir():
            return words
        else:
            wanted.add(path)
            site = FILES + path
        return f"[{words}]({os.path.relpath(site, Path(uri).parent)}{anchor})"

    return outside_fences(text, lambda part: LINK.sub(link, part))


def pictures(text: str, folder: Path) -> str:
    """Drawings become part of the page, so that they have its colours, light or dark."""

    def picture(match: re.Match[str]) -> str:
        words, target = match.groups()
        drawing = STYLE.sub("", (ROOT / folder / target).read_text()).strip()
        return f'<figure class="drawing" role="img" aria-label="{words}">{drawing}</figure>'

    return PICTURE.sub(picture, text)


def functions(text: str, modules: dict[str, str]) -> str:
    """Names such as `fastrl/algorithms/sac.py::td_target` link to the reference, where their module is in it."""

    def named(match: re.Match[str]) -> str:
        module = match.group(1).replace("/", ".")
        module = module if module.startswith("fastrl") else f"fastrl.{module}"
        if module not in modules:
            return match.group(0)
        name = f"{module}.{match.group(2)}" if match.group(2) else module
        return f"[{match.group(0)}][{name}]"

    return outside_fences(text, lambda part: NAMED.sub(named, part))
