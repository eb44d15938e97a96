"""The pages of the reference: what the package makes public, and the modules that other pages name."""

import functools

import links

import fastrl

INTRO = {
    "index": "The public names of `fastrl`: everything else may change between versions.",
    "types": "What an algorithm and an environment of yours are made of.",
    "options": "Options of a run, and of every algorithm; each is a keyword of `fastrl.run` and a flag of the command.",
}
PACKAGES = {
    "algorithms": "Losses, multipliers, reference policies and the order of updates.",
    "engine": "The scan, the phases, evaluation and diagnostics.",
    "envs": "Environments, their registry and the check of their protocol.",
    "experiments": "The papers' figures and claims, advice and the demonstration.",
    "kernels": "What is one kernel on an accelerator.",
    "networks": "Flax modules and distributions.",
    "planning": "From a request to a plan.",
    "recipes": "A paper's method as a list of phases.",
    "replay": "The ring, its draws, and Monte-Carlo returns.",
    "data": "Files to a `Dataset`.",
    "statistics": "Intervals, aggregates and comparisons of scores, for numbers of other programs too.",
    "reports": "Numbers, pictures and films of finished runs.",
    "collect": "Logged data, made here.",
}


@functools.cache
def modules() -> dict[str, str]:
    """Module -> the page that describes it, of those that some page names."""
    found = {"fastrl.types": "types", "fastrl.config": "options", "fastrl.presets": "options"}
    texts = [path.read_text() for path in (links.ROOT / "docs").rglob("*.md")]
    texts += [(links.ROOT / path).read_text() for path in links.PAGES]
    for match in links.NAMED.finditer("\n".join(texts)):
        parts = match.group(1).split("/")
        parts = parts if parts[0] == "fastrl" else ["fastrl", *parts]
        if len(parts) == 3 and parts[1] in PACKAGES and parts[2] != "__init__":
            found[".".join(parts)] = parts[1]
    for package, page in (("methods", "options"), ("statistics", "statistics")):  # public, named or not
        for path in (links.ROOT / "fastrl" / package).glob("[!_]*.py"):
            found[f"fastrl.{package}.{path.stem}"] = page
    return dict(sorted(found.items()))


@functools.cache
def pages() -> dict[str, tuple[str, str]]:
    """Address -> (title, Markdown) of every page of the reference."""
    texts = {"index": ("Public names", public()), "types": ("Types", "::: fastrl.types")}
    for page in ("options", *PACKAGES):
        names = [module for module, home in modules().items() if home == page]
        if names:
            texts[page] = (page.capitalize() if page in INTRO else page, "\n\n".join(f"::: {name}" for name in names))
    found = {}
    for page, (title, body) in texts.items():
        heading = title if page in INTRO else f"fastrl.{page}"
        found[f"reference/{page}.md"] = (title, f"# {heading}\n\n{INTRO.get(page) or PACKAGES[page]}\n\n{body}\n")
    return found


def public() -> str:
    """Every public name under the name that one imports; what a page of its own describes is a link."""
    objects = {f"fastrl.{name}": f"{module}.{_attribute(name)}" for name, module in fastrl._LAZY.items()}
    objects |= {"fastrl.option": "fastrl.config.option", "fastrl.UserError": "fastrl.errors.UserError"}
    links, shown = [], []
    for name, found in objects.items():
        if found.rpartition(".")[0] in modules():
            links.append(f"- [`{name}`][{found}]")
        else:
            label = name.removeprefix("fastrl.")
            shown.append(f"::: {found}\n    options:\n      heading: {name}\n      toc_label: {label}")
    methods = (
        "- [`fastrl.SAC` and the options of every other algorithm](options.md)\n- [`fastrl.statistics`](statistics.md)"
    )
    return "\n".join(links) + f"\n{methods}\n\n" + "\n\n".join(shown)


def _attribute(name: str) -> str:
    return "load" if name == "load_agent" else name
