"""The five drawings of the concepts: `python docs/generator/drawings.py` writes them into docs/pictures."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "pictures"
STYLE = (
    "<style>svg{color:#222;font-family:system-ui,sans-serif}text{fill:currentColor;font-size:13px}"
    ".small{font-size:11px;opacity:.8}.box{fill:none;stroke:currentColor;stroke-width:1.2;rx:6}"
    ".on{fill:#00968822;stroke:#009688;stroke-width:1.5;rx:6}.arrow{stroke:currentColor;fill:none;stroke-width:1.2}"
    "@media(prefers-color-scheme:dark){svg{color:#ddd}}</style>"
)
"""The colours of a drawing on its own; inside a page it takes the page's (docs/site.css)."""

Shapes = list[str]


def box(x: float, y: float, w: float, h: float, title: str, *small: str, on: bool = False) -> Shapes:
    """A box with a title and smaller lines below it."""
    top = y + h / 2 - 7.5 * len(small) + 4
    found = [f'<rect class="{"on" if on else "box"}" x="{x}" y="{y}" width="{w}" height="{h}"/>']
    found += text(x + w / 2, top, title, small=False)
    for number, line in enumerate(small, 1):
        found += text(x + w / 2, top + 16 * number, line)
    return found


def text(x: float, y: float, words: str, small: bool = True, anchor: str = "middle") -> Shapes:
    """A line of text."""
    kind = ' class="small"' if small else ""
    return [f'<text{kind} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>']


def arrow(path: str, dashed: bool = False, tip: bool = True) -> Shapes:
    """A line along an SVG path, with a tip at its end."""
    more = (' stroke-dasharray="4 3"' if dashed else "") + (' marker-end="url(#NAME)"' if tip else "")
    return [f'<path class="arrow" d="{path}"{more}/>']


def run() -> tuple[int, Shapes]:
    """What goes into a run and what comes out of it."""
    return 222, [
        *box(8, 14, 120, 50, "environment", "two functions"),
        *box(8, 86, 120, 50, "dataset", "logged rows"),
        *box(8, 158, 120, 50, "options", "steps, rates"),
        *box(186, 80, 118, 62, "plan", "checked; nothing", "is written yet"),
        *box(350, 60, 120, 102, "run", "one compiled scan", "a phase, all seeds", on=True),
        *box(528, 14, 124, 50, "metrics", "a line for each row"),
        *box(528, 86, 124, 50, "agent", "of every seed"),
        *box(528, 158, 124, 50, "report", "picture, intervals"),
        *(shape for y, to in ((39, 98), (111, 111), (183, 124)) for shape in arrow(f"M128,{y} L184,{to}")),
        *arrow("M304,111 H348"),
        *(shape for y, to in ((92, 44), (111, 111), (130, 178)) for shape in arrow(f"M470,{y} L526,{to}")),
    ]


def phase() -> tuple[int, Shapes]:
    """One step of a phase."""
    return 256, [
        *box(8, 96, 96, 56, "entry", "what it", "takes over"),
        *box(150, 26, 128, 56, "act", "policy, frozen policy,", "uniform, roll-in"),
        *box(358, 26, 128, 56, "environment", "E copies, one step"),
        *box(358, 166, 128, 56, "ring", "newest rows"),
        *box(150, 166, 128, 56, "update", "U minibatches", "of the losses", on=True),
        *box(540, 166, 112, 56, "dataset", "offline rows"),
        *(shape for path in ("M104,110 L148,66", "M278,54 H356", "M422,82 V164") for shape in arrow(path)),
        *(shape for path in ("M358,194 H280", "M214,166 V84") for shape in arrow(path)),
        *arrow("M540,194 H488", dashed=True),
        *text(318, 186, "draw"),
        *text(430, 126, "a row", anchor="start"),
        *text(222, 126, "new policy", anchor="start"),
        *text(596, 154, "fills it, or is a"),
        *text(596, 240, "share of each draw"),
        *text(318, 250, "offline there is no upper half: rows come from the dataset"),
    ]


def recipe() -> tuple[int, Shapes]:
    """WSRL's three phases."""
    return 178, [
        *box(8, 40, 250, 64, "pretrain", "Cal-QL, gradient steps", "rows of the dataset"),
        *box(268, 40, 120, 64, "warmup", "frozen policy acts", "no update"),
        *box(398, 40, 254, 64, "finetune", "SAC, U updates a step", "rows of the ring alone", on=True),
        *arrow("M263,14 V150", dashed=True, tip=False),
        *text(263, 168, "the switch: networks go on, the data stays behind", small=False),
        *text(133, 28, "offline"),
        *text(460, 28, "online"),
        *arrow("M8,124 H650"),
        *text(640, 140, "steps", anchor="end"),
    ]


def seeds() -> tuple[int, Shapes]:
    """Rows of one program."""
    shapes: Shapes = []
    for number, y in enumerate((16, 60, 104, 148)):
        shapes += text(14, y + 22, f"seed {number}", small=False, anchor="start")
        for x, width, name in ((84, 150, "pretrain"), (242, 90, "warmup"), (340, 170, "finetune")):
            shapes += box(x, y, width, 34, name, on=name == "finetune")
        shapes += text(524, y + 21, "a curve of its own", anchor="start")
    shapes += arrow("M84,196 H510")
    return 226, [*shapes, *text(297, 216, "one program for all rows: side by side on a card, in turn on a CPU")]


def resume() -> tuple[int, Shapes]:
    """A kill, and what goes on from the last checkpoint."""
    shapes = arrow("M20,60 H392", tip=False)
    for number, x in enumerate((60, 150, 240, 330)):
        shapes += [f'<circle class="on" cx="{x}" cy="60" r="7"/>', *text(x, 40, f"step {number * 250}")]
    return 182, [
        *shapes,
        *arrow("M384,46 L400,74 M400,46 L384,74", tip=False),
        *text(392, 34, "killed", small=False),
        *arrow("M330,70 C330,120 330,140 354,140"),
        '<circle class="on" cx="366" cy="140" r="7"/>',
        *arrow("M374,140 H630"),
        *text(508, 128, "--resume: the same bits as without the kill"),
        *text(150, 90, "checkpoints: all that the run is, with checksums"),
        *text(366, 168, "from the last whole checkpoint"),
    ]


def whole(name: str, height: int, shapes: Shapes) -> str:
    """The file of a drawing."""
    tip = f'<marker id="tip-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    head = f'<defs>{tip}<path d="M0,0 L8,4 L0,8 z" fill="currentColor"/></marker></defs>'
    body = "\n  ".join(shapes).replace("#NAME", f"#tip-{name}")
    size = f'viewBox="0 0 660 {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n  {STYLE}\n  {head}\n  {body}\n</svg>\n'


if __name__ == "__main__":
    for drawing in (run, phase, recipe, seeds, resume):
        (FOLDER / f"{drawing.__name__}.svg").write_text(whole(drawing.__name__, *drawing()))
