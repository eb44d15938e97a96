"""What mkdocs calls while it builds the site: pages from the code and the repository beside those written by hand.

Every step is in a file of its own here: links and names of functions, equations, a method's tables, its curve, the
reference. mkdocs.yml names this file.
"""

from pathlib import Path
from typing import Any

import curves
import equations
import links
import methods
import reference
from mkdocs.structure.files import File, Files, InclusionLevel

PROJECT = {
    "ARCHITECTURE.md": "Architecture",
    "PAPERS.md": "Papers, line by line",
    "CONTRIBUTING.md": "Contributing",
    "CHANGELOG.md": "Changes",
    "benchmarks/README.md": "Measuring",
    "benchmarks/LOG.md": "What was tried",
    "fastrl/behaviours/README.md": "Behaviour policies",
}
"""Pages that lie elsewhere in the repository, and their titles in the navigation."""


def on_config(config: Any) -> Any:
    """Fills the navigation of what is generated in."""
    for section in config.nav:
        if "Reference" in section:
            section["Reference"] = [{title: uri} for uri, (title, _) in reference.pages().items()]
        if "Project" in section:
            section["Project"] += [{title: links.PAGES[path]} for path, title in PROJECT.items()]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages, and every file of the repository that a page links to."""
    for path in PROJECT:
        files.append(File.generated(config, links.PAGES[path], content=(links.ROOT / path).read_text()))
    wanted = {f"{curves.RESULTS}/{curve.file}.jsonl" for curve in curves.CURVES.values()}
    for file in list(files.documentation_pages()):
        links.rewrite(file.content_string, folder_of(file.src_uri), file.src_uri, wanted)
    for uri, (_, text) in reference.pages().items():
        files.append(File.generated(config, uri, content=text))
    done: set[str] = set()
    while left := sorted(wanted - done):
        for path in left:
            uri, source = links.FILES + path, links.ROOT / path
            files.append(File.generated(config, uri, abs_src_path=str(source), inclusion=InclusionLevel.NOT_IN_NAV))
            if path.endswith(".md"):
                links.rewrite(source.read_text(), Path(path).parent, uri, wanted)
        done.update(left)
    return files


def folder_of(uri: str) -> Path:
    """Where in the repository the Markdown of a page lies."""
    if uri.startswith(links.FILES):
        return Path(uri.removeprefix(links.FILES)).parent
    home = {site: Path(path).parent for path, site in links.PAGES.items() if path != "README.md"}
    return home.get(uri, Path("docs") / Path(uri).parent)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """One page's text as the site has it."""
    uri = page.file.src_uri
    folder = folder_of(uri)
    if uri == "methods/index.md":
        markdown += "\n" + methods.table()
    elif uri.startswith("methods/"):
        name = Path(uri).stem
        markdown = methods.page(name, markdown, page.meta.get("deviations", ()), curves.of(name))
    markdown = links.rewrite(markdown, folder, uri, set())
    markdown = links.pictures(markdown, folder)
    markdown = links.functions(markdown, reference.modules())
    return equations.convert(markdown)
