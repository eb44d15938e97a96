"""The HTML page, read as text and looked at in a browser that runs its script."""

import base64
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fastrl import statistics
from fastrl.cli import show
from fastrl.reports import differences, html, plot, report
from fastrl.reports.results import Frozen, Results, load
from fastrl.reports.tables import Table
from fastrl.types import UserError

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
]
NASTY = "<img src=x onerror=document.title='hit'> \x1b[31m\u202e\u2028"
SHOWN = "<img src=x onerror=document.title='hit'> \\x1b[31m\\u202e\\u2028"


def make(folder: Path, gain: float, recipe: str = "wsrl", **changes: object) -> Path:
    """A run folder of 4 seeds: 400 gradient steps, a warm-up of 50, 200 online steps that gain `gain` each."""
    folder.mkdir(parents=True)
    rows = [("pretrain", 0, step, 10.0 * step) for step in range(0, 401, 100)] + [("warmup", 50, 400, 4000.0)]
    rows += [("finetune", 50 + step, 400, 4000.0 + gain * step) for step in range(50, 201, 50)]
    fields = ("kind", "phase", "online", "offline", "step", "return")
    logged = [("eval", *row[:3], 0, (row[3] + 100.0 * np.arange(4)).tolist()) for row in rows]
    lines = [json.dumps(dict(zip(fields, row, strict=True))) for row in logged]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    algorithm = {"algorithm": "sac", "actor_lr": 1e-4, "actor_hidden": [8, 8], **changes}
    phases = [{"name": name, "algorithm": algorithm} for name in ("pretrain", "warmup", "finetune")]
    config = {"recipe": recipe, "env": "own", "seeds": 4, "command": f"fastrl run {recipe}"}
    (folder / "config.json").write_text(json.dumps(config | {"identity": {"seeds": 4, "phases": phases}}))
    timing = [{"name": "finetune", "seconds": 50.0 if gain < 30 else 1050.0, "steps": 200}]
    (folder / "timing.json").write_text(json.dumps({"phases": timing}))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("runs")
    return [make(home / NASTY, 2, recipe=NASTY), make(home / "fast", 40, actor_lr=3e-4, utd=4), make(home / "slow", 1)]


@pytest.fixture(scope="module")
def page(runs: list[Path]) -> Path:
    return report.write_page([*runs], runs[0].parent / "page.html", ["## Between", "**bold** & `code`"])


class Elements(HTMLParser):
    """Every element with its attributes, and the texts that follow each kind of start tag."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found:
            self.texts.setdefault(self.found[-1][0], []).append(data)


def curves_of(text: str) -> list[dict]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text).group(1))["runs"]


def single(run: Results) -> list[dict]:
    return curves_of(html.page([run], [report.compared([run])], [["# own"]]).decode())


def test_whatever_comes_from_a_run_is_text(page):
    text = page.read_text()
    assert all(c.isprintable() or c == "\n" for c in text), "no terminal is steered, no writing turned"
    found = Elements(text)
    assert {"img", "b"}.isdisjoint(tag for tag, _ in found.found)
    assert not any(name.startswith("on") for _, attributes in found.found for name in attributes)
    assert SHOWN in found.texts["a"], "the table's link to the run's part"
    assert f"fastrl run {SHOWN}" in found.texts["pre"]
    assert "bold" in found.texts["strong"] and "code" in found.texts["code"]
    assert curves_of(text)[0]["name"] == SHOWN


def test_the_page_stands_alone_and_its_links_lead_somewhere(page):
    text = page.read_text()
    found = Elements(text).found
    links = [a[name] for _, a in found for name in ("href", "src") if name in a]
    places = {f"#{a['id']}" for _, a in found if "id" in a}
    assert {link for link in links if link != "data:,"} <= places
    assert {"#curves", "#runs", "#options", "#run-0", "#run-2"} <= set(links)
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        summed = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{summed}'" in text, "the policy lets this one run, and no other"
    assert all(colour in text for colour in plot.PALETTE), "the picture's colours"


def test_the_curves_are_the_runs_numbers(runs, page):
    first = curves_of(page.read_text())[0]
    run = load(runs[0])
    np.testing.assert_allclose([seed["values"] for seed in first["seeds"]], run.values, rtol=1e-5)
    np.testing.assert_allclose(first["middle"], np.sort(run.values, axis=0)[1:3].mean(0), rtol=1e-5)
    assert all(low <= x <= high for low, x, high in zip(first["low"], first["middle"], first["high"], strict=True))
    assert first["online"] == run.online.tolist() and first["switch"] == 4 and not first["thinned"]
    assert [(m["label"], m["online"], m["at"], m["end"]) for m in first["marks"]] == [
        ("warm-up", True, 0, 50),
        ("fine-tuning", True, 50, None),
    ]


def test_a_seed_that_froze_is_drawn_and_in_no_mean(runs):
    run = load(runs[2])
    lost = np.where(run.online > 100, np.nan, -9e9)
    kept = dataclasses.replace(run, values=run.values[[0, 2, 3]], seeds=[0, 2, 3], frozen=[Frozen(1, "why", lost)])
    (curve,) = single(kept)
    assert [seed["seed"] for seed in curve["seeds"]] == [0, 1, 2, 3] and curve["seeds"][1]["frozen"]
    assert curve["seeds"][1]["values"][-1] is None and curve["seeds"][1]["values"][0] == -9e9
    np.testing.assert_allclose(curve["middle"], run.values[[0, 2, 3]].mean(0), rtol=1e-5)


@pytest.mark.parametrize(("count", "seeds", "evaluations"), [(8, 8, 200), (8, 64, 1000)])
def test_a_page_of_many_runs_stays_small(runs, monkeypatch, count, seeds, evaluations):
    monkeypatch.setattr(statistics, "stratified_bootstrap", lambda x: (float(x.min()), float(x.max())))  # quick
    base, rng, offline = load(runs[2]), np.random.default_rng(0), evaluations // 2
    steps = np.arange(evaluations)
    many = [
        dataclasses.replace(
            base,
            folder=runs[2].with_name(f"run {number}"),
            values=1e4 * rng.normal(size=(seeds, evaluations)),
            seeds=list(range(seeds)),
            phase=["pretrain"] * offline + ["finetune"] * (evaluations - offline),
            online=np.maximum(0, steps - offline + 1),
            offline=np.minimum(steps, offline - 1),
        )
        for number in range(count)
    ]
    table, parts = Table(["run"], [[""]] * count), report.blocks(base, [base])
    data = html.page(many, [table], [parts] * count)
    assert len(data) < 1_000_000
    curve, run = curves_of(data.decode())[3], many[3]
    assert curve["thinned"] == (evaluations if seeds == 64 else None)
    switch = curve["switch"]
    assert curve["online"][0] == 0 and curve["online"][switch : switch + 2] == [0, 1]
    assert curve["online"][-1] == run.online[-1]
    drawn = np.array(curve["seeds"][5]["values"])[[0, switch, -1]]
    np.testing.assert_allclose(drawn, run.values[5, [0, offline - 1, -1]], rtol=1e-5)


def test_only_the_options_that_differ_are_in_sight(runs, page):
    found = differences.of([load(run) for run in runs], ["a", "b", "c"])
    assert found.differing.head == ["option", "a", "b", "c"]
    assert ["pretrain.actor_lr", "0.0001", "0.0003", "0.0001"] in found.differing.rows
    assert ["recipe", NASTY, "wsrl", "wsrl"] in found.differing.rows and len(found.differing.rows) == 7
    assert ["finetune.utd", "-", "4", "-"] in found.differing.rows and not found.partial.rows
    assert ["warmup.actor_hidden", "8, 8"] in found.common.rows and ["seeds", "4"] in found.common.rows
    text = page.read_text()
    assert text.index("pretrain.actor_lr") < text.index("<details>") < text.index("warmup.actor_hidden")


def test_the_points_of_a_sweep_have_their_own_options(runs):
    base = load(runs[2])
    identity = base.config["identity"] | {"points": [{"actor_lr": 0.1, "warmup": 7}, {"actor_lr": 0.2, "warmup": 7}]}
    config = base.config | {"identity": identity}
    points = [dataclasses.replace(base, config=config, point=f"actor_lr={x}") for x in (0.1, 0.2)]
    found = differences.of(points, ["p", "q"])
    phases = ("pretrain", "warmup", "finetune")
    assert found.differing.rows == [[f"{phase}.actor_lr", "0.1", "0.2"] for phase in phases]
    assert ["warmup", "7"] in found.common.rows and not found.partial.rows


def test_the_command_writes_it_beside_the_picture_and_a_run_beside_its_report(runs, tmp_path):
    out = str(tmp_path / "all.png")
    lines = show.comparison(list(map(str, runs[1:])), out).splitlines()
    assert out in lines and str(tmp_path / "all.html") in lines
    (tmp_path / "all.png").unlink()
    with pytest.raises(UserError, match=r"all.png: .*all.html exists; name another file"):
        show.comparison([str(runs[1])], out)
    assert [path.name for path in tmp_path.iterdir()] == ["all.html"]
    folder = shutil.copytree(runs[2], tmp_path / "run")
    text = (report.write_report(folder).with_name("report.html")).read_text()
    assert "<h1>wsrl on own</h1>" in text and len(curves_of(text)) == 1 and 'id="runs"' not in text
    for cell in ("before fine-tuning (at the switch)", "4,150.0 ["):
        assert cell in text and cell in (folder / "report.md").read_text()


def test_in_a_terminal_the_tables_are_as_wide_as_it_is(runs, tmp_path, monkeypatch):
    names = list(map(str, runs[1:]))
    markdown = show.comparison(names, str(tmp_path / "a.png"))
    assert max(map(len, markdown.splitlines())) > 200, "a file or a pipe gets every column"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    *lines, _, page = show.comparison(names, str(tmp_path / "b.png")).splitlines()
    assert max(map(len, lines)) <= 80 and " | " not in "".join(lines)
    assert re.split("  +", lines[0])[0] == "run" and any("(see b.html)" in line for line in lines)
    assert all(f">{name}" in Path(page).read_text() for name in ("best", "wall time", "measure"))


def test_it_needs_no_jax():
    code = "import sys, fastrl.reports.html; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


ACTS = """
(() => {
  const found = {}, table = document.querySelector("#runs table"), svg = () => document.querySelector(".figure svg");
  const heads = [...table.tHead.rows[0].cells], at = (name) => heads.findIndex((each) => each.textContent === name);
  const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
  const order = (name) => { heads[at(name)].querySelector("button").click(); return names(); };
  const count = () => ["line", "band", "seed"].map((kind) => svg().querySelectorAll(`.${kind}`).length);
  const press = (node) => { node.click(); return [...count(), node.getAttribute("aria-pressed")]; };
  found.final = [order("final"), order("final"), heads[at("final")].getAttribute("aria-sort")];
  found.time = order("wall time");
  found.name = order("run");
  const legend = [...document.querySelectorAll(".legend li")];
  found.labels = [...svg().querySelectorAll("text")].map((each) => each.textContent);
  found.begin = count();
  found.run = press(legend[1].querySelector(".run"));
  found.seed = press(legend[0].querySelectorAll("button")[2]);
  found.back = press(legend[1].querySelector(".run"));
  found.band = press(document.querySelector("[data-show=band]"));
  found.every = press(document.querySelector("[data-show=seeds]"));
  found.none = press(document.querySelector("[data-show=seeds]"));
  const chart = svg().parentNode, box = chart.getBoundingClientRect();
  chart.dispatchEvent(new PointerEvent("pointermove", { clientX: box.right - 5, clientY: box.top + 99 }));
  found.tip = [...document.querySelectorAll(".tip div")].map((each) => each.textContent);
  dispatchEvent(new Event("beforeprint"));
  found.printed = document.querySelectorAll("details:not([open])").length;
  dispatchEvent(new Event("afterprint"));
  found.folded = document.querySelectorAll("details:not([open])").length;
  found.page = [document.title, document.images.length, document.documentElement.scrollWidth - innerWidth];
  found.ground = getComputedStyle(document.body).backgroundColor;
  const node = document.createElement("pre");
  node.id = "found";
  node.textContent = JSON.stringify(found);
  document.body.append(node);
  PLANTED
})();
"""


def acted(page: Path, folder: Path, *flags: str, planted: str = "") -> tuple[dict, list[str]]:
    """What a script finds that acts on a copy of the page whose policy lets it run, and the browser's console."""
    script = ACTS.replace("PLANTED", planted)
    summed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.read_text().replace("script-src ", f"script-src 'sha256-{summed}' ", 1)
    copy = folder / "copy.html"
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    command = [BROWSER, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, console
    return json.loads(unescape(found.group(1))), console


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser_tables_sort_and_curves_switch(page, tmp_path):
    found, console = acted(page, tmp_path, "--window-size=1200,900")
    assert console == []
    ascending = ["slow", SHOWN, "fast"]  # 4,350, 4,550 and 12,150: as words, the last would come first
    assert found["final"] == [ascending, ascending[::-1], "descending"]
    assert found["time"][-1] == "fast", "17 min 30 s is more than 50.0 s"
    assert found["name"] == [SHOWN, "fast", "slow"]
    assert {"switch to online", "warm-up", "fine-tuning", "offline gradient steps", "return"} <= set(found["labels"])
    assert found["begin"] == [6, 6, 0], "three runs in two panels"
    assert found["run"] == [4, 4, 0, "false"] and found["seed"] == [4, 4, 2, "true"]
    assert found["back"] == [6, 6, 2, "true"] and found["band"] == [6, 0, 2, "false"]
    assert found["every"] == [6, 0, 24, "true"] and found["none"] == [6, 0, 0, "false"]
    assert found["tip"][0] == "250 online steps" and found["tip"][2].startswith("fast: 12,150.0 [")
    assert (found["printed"], found["folded"]) == (0, 1)
    assert found["page"][:2] == ["3 runs on own", 0] and found["ground"] == "rgb(255, 255, 255)"


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_narrow_dark_browser_nothing_sticks_out(page, tmp_path):
    dark = "--blink-settings=preferredColorScheme=0"
    found, console = acted(page, tmp_path, "--window-size=500,900", dark, planted="console.error('planted');")
    assert found["page"][2] <= 0 and found["ground"] == "rgb(20, 24, 28)"
    assert len(console) == 1 and "planted" in console[0], "and the console is read"
