"use strict";
// Draws the curves of a report, sorts its tables by a click, and opens what is folded before it is printed.
(() => {
  const COLOURS = 7, LABEL = 15, ROWS = 4;

  function make(name, attributes = {}, ...children) {
    const svg = ["svg", "g", "path", "line", "rect", "circle", "text"].includes(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // ---- numbers

  function short(x) {
    const size = Math.abs(x);
    for (const [unit, name] of [[1e6, "M"], [1e3, "k"]]) if (size >= unit) return `${+(x / unit).toPrecision(4)}${name}`.replace("-", "\u2212");
    return `${+x.toPrecision(4)}`.replace("-", "\u2212");
  }

  function written(x, rate) {
    if (x === null) return "not finite";
    if (rate) return `${(100 * x).toFixed(1)} %`;
    return Math.abs(x) >= 10 ? x.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 }) : x.toFixed(3);
  }

  function ticks(low, high, most) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((x) => x * power >= rough * 0.999);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return found;
  }

  // ---- a figure: the runs of one task, in an offline and an online panel that share their height

  class Figure {
    constructor(home, runs) {
      Object.assign(this, { home, runs, middle: true, band: true, width: 0 });
      const alone = runs.length === 1;
      for (const [number, run] of runs.entries()) {
        const colour = `c${number % COLOURS}`, again = number >= COLOURS;
        Object.assign(run, { colour, again, visible: true, chosen: new Set(alone ? run.seeds.keys() : []) });
      }
      this.offline = runs.some((run) => run.online.filter((x) => x === 0).length > 1);
      this.online = runs.some((run) => run.online.at(-1) > 0);
      if (!this.online) this.offline = true;
      this.chart = make("div");
      this.tip = make("div", { class: "tip", hidden: "" });
      home.append(this.bar(), this.chart, this.legend(), this.note(), this.tip);
      this.chart.addEventListener("pointermove", (event) => this.point(event));
      this.chart.addEventListener("pointerdown", (event) => this.point(event));
      this.chart.addEventListener("pointerleave", () => this.unpoint());
      new ResizeObserver(() => this.chart.clientWidth !== this.width && this.draw()).observe(this.chart);
      this.draw();
    }

    button(words, pressed, act, attributes = {}) {
      const node = make("button", { type: "button", "aria-pressed": pressed(), ...attributes }, ...words);
      node.addEventListener("click", () => { act(); this.draw(); });
      (this.buttons ??= []).push(() => node.setAttribute("aria-pressed", pressed()));
      return node;
    }

    bar() {
      const seeds = () => this.runs.every((run) => run.chosen.size === run.seeds.length);
      const all = () => { const on = !seeds(); for (const run of this.runs) run.chosen = new Set(on ? run.seeds.keys() : []); };
      const names = new Set(this.runs.map((run) => run.centre));
      return make("div", { class: "bar" },
        this.button([[...names].sort().join(" or ")], () => this.middle, () => { this.middle = !this.middle; }, { "data-show": "middle" }),
        this.button(["95 % interval"], () => this.band, () => { this.band = !this.band; }, { "data-show": "band" }),
        this.button(["every seed"], seeds, all, { "data-show": "seeds" }));
    }

    legend() {
      return make("ul", { class: "legend" }, ...this.runs.map((run) => make("li", { class: run.again ? `${run.colour} again` : run.colour },
        this.button([make("i"), run.name], () => run.visible, () => { run.visible = !run.visible; }, { class: "run" }),
        make("span", {}, run.seeds.length === 1 ? "seed" : "seeds"),
        ...run.seeds.map((seed, place) => this.button([`${seed.seed}${seed.frozen ? " \u2717" : ""}`],
          () => run.visible && run.chosen.has(place), () => this.choose(run, place),
          { title: seed.frozen ? `seed ${seed.seed} stopped learning and is in no mean` : `seed ${seed.seed}` })),
        make("a", { href: `#${run.details}` }, "details"))));
    }

    choose(run, place) {
      if (!run.visible) run.visible = true, run.chosen.add(place);
      else if (!run.chosen.delete(place)) run.chosen.add(place);
    }

    note() {
      const words = ["Click a run or a seed to show or hide it; means and intervals are always those of all seeds."];
      const thinned = this.runs.filter((run) => run.thinned);
      if (thinned.length) words.push(`Not every evaluation is drawn: ${thinned.map((run) => `${run.name} has ${run.thinned}`).join(", ")}.`);
      return make("p", { class: "note" }, words.join(" "));
    }

    // The evaluations of a run in a panel: [index, steps]. That at the switch is in both.
    places(run, online) {
      const at = run.switch === null ? 0 : run.offline[run.switch], found = [];
      for (let n = 0; n < run.online.length; n++) {
        if (online ? run.online[n] > 0 || n === run.switch : run.online[n] === 0)
          found.push([n, online ? run.online[n] : run.offline[n] - (this.online ? at : 0)]);
      }
      return online && run.online.at(-1) === 0 ? [] : found;
    }

    lines(run) {
      const found = [...run.chosen].sort((a, b) => a - b).map((place) => run.seeds[place]);
      return run.visible ? found : [];
    }

    heights() {
      if (this.runs[0].rate) return [-0.03, 1.03];
      const known = this.runs.filter((run) => run.visible).flatMap((run) => [
        ...(this.middle ? run.middle : []), ...(this.band ? [...run.low, ...run.high] : []),
        ...this.lines(run).flatMap((seed) => seed.values)]).filter((x) => x !== null);
      if (!known.length) return this.height ?? [0, 1];
      let low = Infinity, high = -Infinity;
      for (const x of known) low = Math.min(low, x), high = Math.max(high, x);
      const room = 0.05 * (high - low) || 0.05 * Math.abs(high) || 1;
      return [low - room, high + room];
    }

    draw() {
      for (const refresh of this.buttons) refresh();
      this.width = this.chart.clientWidth;
      const width = Math.max(this.width, 280), height = Math.round(Math.min(460, Math.max(270, width * 0.52)));
      const [low, high] = (this.height = this.heights()), left = 62, right = width - 16, gap = 12;
      const share = this.offline && this.online ? 0.27 : this.offline ? 1 : 0;
      const edge = left + share * (right - left - gap);
      this.panels = [];
      if (this.offline) this.panels.push({ online: false, from: left, to: this.online ? edge : right });
      if (this.online) this.panels.push({ online: true, from: this.offline ? edge + gap : left, to: right });
      for (const panel of this.panels) this.scale(panel);
      const labels = this.marks(width), rows = Math.max(0, ...labels.map((mark) => mark.row + 1));
      this.top = 14 + LABEL * rows;
      this.bottom = height - 48;
      this.y = (value) => this.bottom - (value - low) / (high - low) * (this.bottom - this.top);
      const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Curves of the ${this.runs[0].quantity}` });
      this.frame(svg, left, low, high);
      for (const mark of labels) this.mark(svg, mark);
      for (const panel of this.panels) for (const run of this.runs) if (run.visible) this.curve(svg, panel, run);
      this.cursor = make("line", { class: "cursor", y1: this.top, y2: this.bottom, visibility: "hidden" });
      svg.append(this.cursor);
      this.chart.replaceChildren(svg);
      this.unpoint();
    }

    scale(panel) {
      const all = this.runs.flatMap((run) => this.places(run, panel.online).map(([, x]) => x));
      const low = Math.min(...all), high = Math.max(...all);
      Object.assign(panel, { low, high });
      panel.x = (steps) => panel.from + (high > low ? (steps - low) / (high - low) : 0.5) * (panel.to - panel.from);
    }

    frame(svg, left, low, high) {
      const rate = this.runs[0].rate, heights = rate ? [0, 0.2, 0.4, 0.6, 0.8, 1] : ticks(low, high, 6);
      for (const value of heights) {
        for (const { from, to } of this.panels) svg.append(make("line", { class: "grid", x1: from, x2: to, y1: this.y(value), y2: this.y(value) }));
        const words = rate ? `${Math.round(100 * value)} %` : short(value);
        svg.append(make("text", { x: left - 8, y: this.y(value) + 4, "text-anchor": "end" }, words));
      }
      for (const panel of this.panels) {
        const { from, to, online } = panel;
        svg.append(make("line", { class: "axis", x1: from, x2: to, y1: this.bottom, y2: this.bottom }));
        const most = Math.max(1, Math.floor((to - from) / 80));
        for (const steps of panel.high > panel.low ? ticks(panel.low, panel.high, most) : [panel.low]) {
          if (!online && this.online && steps === 0) continue;  // the zero where the panels meet is written once
          svg.append(make("text", { x: panel.x(steps), y: this.bottom + 18, "text-anchor": "middle" }, short(steps)));
        }
        const words = online ? "online environment steps" : this.online && to - from < 170 ? "offline" : "offline gradient steps";
        svg.append(make("text", { class: "name", x: (from + to) / 2, y: this.bottom + 40, "text-anchor": "middle" }, words));
      }
      svg.append(make("text", { class: "name", x: 4, y: 11 }, this.runs[0].quantity));
    }

    // Boundaries of the visible runs' phases, equal ones once, each label in the first row where it fits.
    marks(width) {
      const found = new Map(), ends = [];
      for (const run of this.runs.filter((each) => each.visible)) {
        const at = run.switch === null || !this.online ? 0 : run.offline[run.switch];
        if (run.switch !== null && run.online.at(-1) > 0 && !run.scratch)
          found.set("switch", { label: "switch to online", online: true, at: 0, end: null, colour: null, kind: " switch" });
        for (const mark of run.marks) {
          const place = mark.online ? mark.at : mark.at - at, key = `${mark.label} ${mark.online} ${place}`;
          const one = found.get(key);
          if (one) one.colour = null;
          else found.set(key, { ...mark, at: place, colour: this.runs.length > 1 ? run.colour : null, kind: "" });
        }
      }
      const marks = [...found.values()].map((mark) => ({ ...mark, panel: this.panels.find((panel) => panel.online === mark.online) }));
      const drawn = marks.filter((mark) => mark.panel).map((mark) => ({ ...mark, x: mark.panel.x(mark.at) })).sort((a, b) => a.x - b.x);
      for (const mark of drawn) {
        const size = 6.6 * mark.label.length + 10;
        mark.left = Math.min(mark.x + 3, width - size);
        mark.row = ends.findIndex((end) => end <= mark.left);
        if (mark.row < 0) mark.row = ends.length % ROWS;
        ends[mark.row] = mark.left + size;
      }
      return drawn;
    }

    mark(svg, { x, left, row, label, end, panel, colour, kind }) {
      const y = 26 + LABEL * row;
      if (end !== null && this.runs.length === 1) {
        const to = Math.min(panel.x(end), panel.to);
        svg.prepend(make("rect", { class: "shade", x, y: this.top, width: Math.max(0, to - x), height: this.bottom - this.top }));
      }
      svg.append(make("line", { class: `mark${kind}`, x1: x, x2: x, y1: y - 9, y2: this.bottom }));
      svg.append(make("text", { x: left, y, class: colour ?? "" }, label));
    }

    curve(svg, panel, run) {
      const places = this.places(run, panel.online), group = make("g", { class: run.colour });
      if (!places.length) return;
      if (this.band) {
        const known = places.filter(([n]) => run.low[n] !== null);
        const path = [...known.map(([n, x]) => [x, run.low[n]]), ...known.reverse().map(([n, x]) => [x, run.high[n]])];
        if (path.length) group.append(make("path", { class: "band", d: this.path(panel, path) + "Z" }));
      }
      for (const seed of this.lines(run)) this.line(group, panel, places.map(([n, x]) => [x, seed.values[n]]), seed.frozen ? "seed frozen" : "seed");
      if (this.middle) this.line(group, panel, places.map(([n, x]) => [x, run.middle[n]]), run.again ? "line again" : "line");
      svg.append(group);
    }

    line(group, panel, points, kind) {
      group.append(make("path", { class: kind, d: this.path(panel, points) }));
      const known = points.filter(([, value]) => value !== null);
      if (known.length === 1) group.append(make("circle", { class: "dot", cx: panel.x(known[0][0]), cy: this.y(known[0][1]), r: 3 }));
      if (kind === "seed frozen" && known.length && known.length < points.length) {
        const x = panel.x(known.at(-1)[0]), y = this.y(known.at(-1)[1]);
        group.append(make("path", { class: "cross", d: `M${x - 4} ${y - 4}l8 8m0-8l-8 8` }));
      }
    }

    path(panel, points) {
      let text = "", open = false;
      for (const [steps, value] of points) {
        if (value !== null) text += `${open ? "L" : "M"}${panel.x(steps).toFixed(1)} ${this.y(value).toFixed(1)}`;
        open = value !== null;
      }
      return text;
    }

    // ---- the numbers under the pointer

    point(event) {
      const box = this.chart.getBoundingClientRect(), zoom = Math.max(this.width, 280) / box.width;
      const at = (event.clientX - box.left) * zoom;
      const panel = this.panels.find(({ to }) => at <= to + 6) ?? this.panels.at(-1);
      const near = (run) => this.places(run, panel.online).reduce((best, place) =>
        best === null || Math.abs(panel.x(place[1]) - at) < Math.abs(panel.x(best[1]) - at) ? place : best, null);
      const found = this.runs.filter((run) => run.visible).map((run) => [run, near(run)]).filter(([, place]) => place);
      if (!found.length) return;
      const steps = found.map(([, place]) => place[1]).reduce((a, b) => Math.abs(panel.x(a) - at) <= Math.abs(panel.x(b) - at) ? a : b);
      const rows = found.filter(([, place]) => place[1] === steps).flatMap(([run, [n]]) => this.rows(run, n));
      const head = panel.online ? `${steps.toLocaleString("en")} online steps` : this.online ? `${(-steps).toLocaleString("en")} steps before the switch` : `${steps.toLocaleString("en")} offline steps`;
      this.tip.replaceChildren(make("div", {}, head), ...rows);
      this.tip.hidden = false;
      const x = panel.x(steps) / zoom, wide = this.tip.offsetWidth;
      this.tip.style.left = `${x + 12 + wide > box.width ? Math.max(0, x - 12 - wide) : x + 12}px`;
      this.tip.style.top = `${this.chart.offsetTop + this.top / zoom}px`;
      for (const key of ["x1", "x2"]) this.cursor.setAttribute(key, panel.x(steps));
      this.cursor.setAttribute("visibility", "visible");
    }

    rows(run, n) {
      const whole = run.low[n] === null ? "" : ` [${written(run.low[n], run.rate)}, ${written(run.high[n], run.rate)}]`;
      const row = (kind, text) => make("div", { class: run.colour }, ...(kind ? [make("i")] : []), text);
      const name = this.runs.length > 1 ? run.name : run.centre;
      return [row(true, `${name}: ${written(run.middle[n], run.rate)}${whole}`),
        ...this.lines(run).slice(0, 10).map((seed) => row(false, `seed ${seed.seed}: ${written(seed.values[n], run.rate)}`))];
    }

    unpoint() {
      this.tip.hidden = true;
      this.cursor.setAttribute("visibility", "hidden");
    }
  }

  // ---- tables: a number is sorted as a number, a duration by its seconds, what is missing comes last

  const UNITS = { h: 3600, min: 60, s: 1 }, MISSING = ["", "-", "none", "not finite", "frozen"];

  function key(text) {
    const words = text.trim().replace(/\u2212/g, "-");
    const duration = [...words.matchAll(/(\d[\d,.]*) (h|min|s)(?: |$)/g)];
    if (duration.length && duration.map((match) => match[0]).join("") === words)
      return duration.reduce((sum, [, count, unit]) => sum + parseFloat(count.replace(/,/g, "")) * UNITS[unit], 0);
    const match = /^[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?(?=$|[ ,%[(])/i.exec(words);
    return match ? parseFloat(match[0].replace(/,/g, "")) : null;
  }

  function sortable(table) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const text = (row, column) => row.cells[column].textContent.trim();
    for (const [column, head] of heads.entries()) {
      const cells = [...body.rows].filter((row) => !MISSING.includes(text(row, column)));
      const numeric = cells.length > 0 && cells.every((row) => key(text(row, column)) !== null);
      if (numeric) for (const cell of [head, ...[...body.rows].map((row) => row.cells[column])]) cell.classList.add("number");
      if (body.rows.length < 2 || heads.some((each) => !each.textContent)) continue;  // a list of facts has no order
      const button = make("button", { type: "button", title: `Sort by ${head.textContent}` }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const order = (a, b) => (numeric ? key(a) - key(b) : a.localeCompare(b, "en", { numeric: true })) * (down ? -1 : 1);
        const missing = (words) => MISSING.includes(words) ? 1 : 0;
        const rows = [...body.rows].map((row) => [text(row, column), row]);
        rows.sort(([a], [b]) => missing(a) - missing(b) || (missing(a) ? 0 : order(a, b)));
        body.append(...rows.map(([, row]) => row));
      });
    }
  }

  // ---- the page

  const data = JSON.parse(document.getElementById("data").textContent), groups = new Map();
  for (const run of data.runs) groups.set(run.group, [...(groups.get(run.group) ?? []), run]);
  const homes = [...document.querySelectorAll(".figure")];
  for (const runs of groups.values()) new Figure(homes.shift(), runs);
  document.querySelectorAll("table").forEach(sortable);
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
})();
