"use strict";
// Adds what page.html can't show without a script: curves, sorting and the gallery. Texts of
// the data become text nodes or attributes, never markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const lines = byId("entries").textContent.split("\n").slice(1, data.entries + 1);

  // make returns an element with attributes and children. A function among the attributes
  // becomes an event listener.
  function make(name, attributes = {}, ...children) {
    const svg = ["svg", "path", "line", "text", "g"].includes(name);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(key, value);
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }
  const number = (v, digits = 3) => v.toFixed(digits);
  const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

  // Curves.

  let shownCurve = -1;

  function drawCurve() {
    const curve = shownCurve < 0 ? data.mean : data.curves[shownCurve];
    const plot = byId("plot");
    const width = Math.max(260, plot.clientWidth);
    const height = Math.round(Math.min(400, width * 0.72));
    const left = 52, right = width - 14, top = 34, bottom = height - 42;
    const x = (recall) => left + recall * (right - left);
    const y = (precision) => bottom - precision * (bottom - top);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
    for (let i = 0; i <= 5; i++) {
      svg.append(
        make("line", { class: "grid", x1: x(i / 5), x2: x(i / 5), y1: top, y2: bottom }),
        make("line", { class: "grid", x1: left, x2: right, y1: y(i / 5), y2: y(i / 5) }),
        make("text", { x: x(i / 5), y: bottom + 18, "text-anchor": "middle" }, (i / 5).toFixed(1)),
        make("text", { x: left - 8, y: y(i / 5) + 4, "text-anchor": "end" }, (i / 5).toFixed(1)),
      );
    }
    svg.append(
      make("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, "recall"),
      make("text", { x: 12, y: (top + bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(top + bottom) / 2})` }, "precision"),
    );
    let at = left;
    for (const [name, label, values, dashes] of [
      ["at50", "IoU 0.50", curve.at50, "none"],
      ["mean", "mean, 0.50 to 0.95", curve.mean, "7 4"],
    ]) {
      const path = values.map((v, i) => `${i ? "L" : "M"}${x(i / 100).toFixed(1)} ${y(v / 1000).toFixed(1)}`).join("");
      const stroke = `stroke: var(--${name}); stroke-dasharray: ${dashes}`;
      const line = make("path", { d: path });
      const key = make("path", { d: `M${at} 15h26` });
      line.style = stroke;
      key.style = stroke;
      svg.append(line, key, make("text", { x: at + 32, y: 19 }, label));
      at += 122;
    }
    plot.replaceChildren(svg);
    const name = byId("curve").selectedOptions[0].textContent;
    plot.setAttribute("aria-label", `Precision-recall curve: ${name}. At recall 0.5 the precision is ${((curve.at50[50] || 0) / 1000).toFixed(2)} at IoU 0.50.`);
  }

  function showCurve(index) {
    shownCurve = index;
    byId("curve").value = index;
    drawCurve();
  }

  byId("curve").addEventListener("change", (event) => showCurve(Number(event.target.value)));
  for (const button of document.querySelectorAll("[data-curve]")) {
    button.addEventListener("click", () => {
      showCurve(Number(button.dataset.curve));
      byId("curves").scrollIntoView();
      byId("curve").focus({ preventScroll: true });
    });
  }
  new ResizeObserver(drawCurve).observe(byId("plot"));

  // Sorting.

  for (const table of document.querySelectorAll(".sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) =>
      head.querySelector("button").addEventListener("click", () => {
        const numbers = head.classList.contains("n");
        const was = head.getAttribute("aria-sort");
        const rising = was ? was === "descending" : !numbers;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const value = (row) => {
          const text = row.cells[column].textContent;
          return numbers ? (text === "–" ? -1 : Number(text)) : text;
        };
        const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
        rows.sort(([a], [b]) => (numbers ? a - b : a.localeCompare(b)) * (rising ? 1 : -1));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      }),
    );
  }

  // The gallery.

  if (!byId("gallery")) return;

  const perPage = 6; // cards, of three panels each
  const labelled = 12; // more tags would cover a picture
  const kinds = {
    correct: "right",
    classification: "an object of another category",
    localisation: "the object, but badly placed",
    both: "badly placed, and another category",
    duplicate: "found already by a better one",
    background: "no object there",
    missed: "no detection is about it",
    ignored: "counts neither way",
  };
  const causes = {
    proposal: "no proposal covers it",
    localisation: "a proposal covers it, a worse one was reported",
    classification: "a proposal covers it, under another name",
    rank: "a proposal covers it, but isn't among the detections",
  };

  const read = (i) => {
    const entry = JSON.parse(lines[i]);
    entry.proposals = entry.proposals.map(([x0, y0, x1, y1, objectness]) => ({ edges: [x0, y0, x1, y1], objectness }));
    entry.detections = entry.detections.map((d) => ({
      name: data.names[d[0]], edges: d.slice(1, 5), score: d[5], cosine: d[6], probability: d[7], objectness: d[8],
      phrase: data.names[d[9]], runnerUp: data.names[d[10]], kind: data.names[d[11]], annotation: d[12], iou: d[13],
    }));
    entry.annotations = entry.annotations.map((a) => ({
      name: data.names[a[0]], edges: a.slice(1, 5), kind: data.names[a[5]], cause: data.names[a[6]],
    }));
    return entry;
  };

  // indices has, for each requested entry, the best score by name and kind. Annotations
  // have a score above all others.
  const indices = [];
  function index(i) {
    if (!indices[i]) {
      const best = new Map();
      const entry = JSON.parse(lines[i]);
      const add = (name, kind, score) => {
        const key = name + "," + kind;
        if (!(best.get(key) >= score)) best.set(key, score);
      };
      for (const d of entry.detections) add(d[0], d[11], d[5]);
      for (const a of entry.annotations) add(a[0], a[5], Infinity);
      indices[i] = [...best].map(([key, score]) => [...key.split(",").map((n) => data.names[n]), score]);
    }
    return indices[i];
  }

  const state = { query: "", kind: "", score: data.threshold, page: 1, truth: true };

  function fromFragment() {
    const fragment = location.hash.slice(1);
    if (!fragment.includes("=")) return false; // the id of a part of the page
    const given = new URLSearchParams(fragment);
    const numeric = (key, otherwise) => (given.has(key) && isFinite(given.get(key)) ? Number(given.get(key)) : otherwise);
    state.query = given.get("query") ?? "";
    state.kind = given.get("kind") ?? "";
    state.score = numeric("score", data.threshold);
    state.page = numeric("page", 1);
    state.truth = given.get("truth") !== "0";
    return true;
  }

  function toFragment() {
    const now = new URLSearchParams();
    if (state.query) now.set("query", state.query);
    if (state.kind) now.set("kind", state.kind);
    now.set("score", state.score);
    now.set("page", state.page);
    if (!state.truth) now.set("truth", "0");
    history.replaceState(null, "", "#" + now);
  }

  const fits = (box) => (!state.query || box.name === state.query) && (!state.kind || box.kind === state.kind);

  function found() {
    const list = [];
    for (let i = 0; i < lines.length; i++) {
      if (!state.query && !state.kind) list.push(i);
      else if (index(i).some(([name, kind, score]) => score >= state.score && fits({ name, kind }))) list.push(i);
    }
    return list;
  }

  function show() {
    const list = found();
    const pages = Math.max(1, Math.ceil(list.length / perPage));
    state.page = Math.min(pages, Math.max(1, Math.round(state.page)));
    byId("query").value = state.query;
    byId("kind").value = state.kind;
    byId("score").value = state.score;
    byId("least").value = state.score.toFixed(2);
    byId("truth").checked = state.truth;
    byId("place").textContent = list.length
      ? `${plural(list.length, "picture", "pictures")}, page ${state.page} of ${pages}`
      : "No picture has such a box: choose another query or verdict, or a lower score.";
    for (const button of document.querySelectorAll(".pager button")) {
      const to = state.page + Number(button.dataset.step);
      button.disabled = to < 1 || to > pages;
    }
    byId("cards").replaceChildren(...list.slice((state.page - 1) * perPage, state.page * perPage).map((i) => card(read(i), i)));
  }

  function card(entry, i) {
    const shown = entry.detections.filter((d) => fits(d) && d.score >= state.score);
    const truths = state.truth ? entry.annotations.filter(fits) : [];
    const parts = make("div", { class: "parts", "aria-live": "polite" }, "Point to a box, or tab to it and use the arrow keys, for the parts of its score.");
    const id = `entry-${i}`;
    const element = make("article", { class: "card", "aria-labelledby": id });
    const tally = new Map();
    for (const d of shown) tally.set(d.kind, (tally.get(d.kind) || 0) + 1);
    const missed = entry.annotations.filter((a) => a.kind === "missed").length;
    const says = [...tally].filter(([kind]) => kind).map(([kind, n]) => `${n} ${kind}`);
    if (missed) says.push(`${missed} missed`);
    element.append(
      make("h3", { id }, entry.file || `picture ${i + 1}`, make("small", {}, `${entry.width} × ${entry.height} pixels${says.length ? "; " + says.join(", ") : ""}`)),
      make(
        "div",
        { class: "panels" },
        panel(entry, state.truth ? `Original with ground truth (${truths.length} of ${entry.annotations.length})` : "Original", truths, truthBox),
        panel(entry, `Proposals (${entry.proposals.length === entry.of ? entry.of : `best ${entry.proposals.length} of ${entry.of}`})`, entry.proposals, proposalBox),
        panel(entry, `Detections (${shown.length} of ${entry.detections.length})`, shown, detectionBox),
      ),
      parts,
    );

    function panel(entry, title, boxes, look) {
      const stage = make("div", { class: "stage", role: "group", "aria-label": title });
      stage.style.aspectRatio = `${entry.width} / ${entry.height}`;
      if (entry.picture) {
        stage.append(make("img", { loading: "lazy", decoding: "async", src: entry.picture, alt: `${entry.file}: ${title}`, width: entry.width, height: entry.height }));
      }
      // Small boxes are above large ones, so that each can be pointed to.
      const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
      const order = [...boxes].sort((a, b) => area(b.edges) - area(a.edges));
      const elements = order.map((box) => place(look(box, boxes.indexOf(box), boxes.length), box, entry));
      const inOrder = boxes.map((box) => elements[order.indexOf(box)]);
      inOrder.forEach((e, k) => {
        e.tabIndex = k ? -1 : 0;
        e.addEventListener("keydown", (event) => {
          const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
          if (!step) return;
          event.preventDefault();
          const next = inOrder[(k + step + inOrder.length) % inOrder.length];
          e.tabIndex = -1;
          next.tabIndex = 0;
          next.focus();
        });
      });
      stage.append(...elements);
      return make("figure", {}, make("figcaption", {}, title), stage);
    }

    function place(element, box, entry) {
      const [x0, y0, x1, y1] = box.edges;
      const share = (v, of) => `${(100 * v) / of}%`;
      Object.assign(element.style, {
        left: share(x0, entry.width), top: share(y0, entry.height),
        width: share(x1 - x0, entry.width), height: share(y1 - y0, entry.height),
      });
      if (y0 < entry.height * 0.09) element.classList.add("low");
      if (x0 > entry.width * 0.6) element.classList.add("right");
      element.setAttribute("role", "img");
      for (const event of ["pointerenter", "focus", "click"]) element.addEventListener(event, () => pick(element, box));
      return element;
    }

    function truthBox(a) {
      const label = `${a.name}${a.kind ? ", " + a.kind : ""}`;
      const e = make("div", { class: "box truth-box", "data-kind": a.kind, "aria-label": `ground truth: ${label}` }, make("span", { class: "tag" }, a.name));
      if (a.kind && a.kind !== "correct") e.classList.add("wrong");
      if (truths.length > labelled) e.classList.add("quiet");
      a.element = e;
      a.parts = () => [["ground truth", a.name], ["verdict", a.kind && `${a.kind}: ${a.kind === "correct" ? "found" : kinds[a.kind]}`], ["why", causes[a.cause]]];
      return e;
    }

    function proposalBox(p, rank, of) {
      const e = make("div", { class: "box proposal", "aria-label": `proposal ${rank + 1}, objectness ${number(p.objectness)}` });
      if (rank < 5) e.classList.add("best");
      e.style.setProperty("--strength", 0.25 + 0.75 * (1 - rank / of) ** 5);
      p.parts = () => [["proposal", `${rank + 1} of ${entry.of}`], ["objectness", number(p.objectness, 4)]];
      return e;
    }

    function detectionBox(d, rank) {
      const label = `${d.name} ${number(d.score, 2)}`;
      const e = make("div", { class: "box", "data-kind": d.kind, "aria-label": `${label}${d.kind ? ", " + d.kind : ""}` }, make("span", { class: "tag" }, label));
      if (d.kind && d.kind !== "correct") e.classList.add("wrong");
      if (rank >= labelled) e.classList.add("quiet");
      const truth = entry.annotations[d.annotation];
      d.parts = () => [
        ["query", d.name], ["score", number(d.score)], ["cosine", number(d.cosine)], ["probability", number(d.probability)],
        ["objectness", number(d.objectness)], ["phrase", d.phrase], ["runner-up", d.runnerUp],
        ["verdict", d.kind && `${d.kind}: ${kinds[d.kind]}`],
        ["ground truth", truth && `${truth.name}, IoU ${number(d.iou, 2)}`],
      ];
      return e;
    }

    function pick(e, box) {
      for (const other of element.querySelectorAll(".picked, .matched")) other.classList.remove("picked", "matched");
      for (const other of document.querySelectorAll(".parts.open")) other.classList.remove("open");
      e.classList.add("picked");
      parts.classList.add("open");
      entry.annotations[box.annotation]?.element?.classList.add("matched");
      const list = make("dl");
      for (const [name, value] of box.parts()) {
        if (value) list.append(make("div", { "data-part": name }, make("dt", {}, name), make("dd", {}, value)));
      }
      parts.replaceChildren(list);
    }

    return element;
  }

  const options = (select, values) => select.append(...values.map((value) => make("option", { value }, value)));

  function prepare() {
    byId("bounds").textContent =
      `${data.entries} of ${plural(data.images, "picture is", "pictures are")} here${data.entries < data.images ? ", chosen by their errors" : ""}, ` +
      `scaled to at most ${byId("bounds").dataset.side} pixels; at most ${byId("bounds").dataset.proposals} proposals each are drawn.`;
    const used = new Set();
    const there = new Set();
    for (let i = 0; i < lines.length; i++) {
      for (const [name, kind] of index(i)) {
        used.add(name);
        there.add(kind);
      }
    }
    options(byId("query"), [...used].sort((a, b) => a.localeCompare(b)));
    const verdicts = Object.keys(kinds).some((kind) => there.has(kind)) ? Object.keys(kinds) : [];
    options(byId("kind"), verdicts);
    byId("kind").closest("label").hidden = !verdicts.length;
    byId("legend").append(...verdicts.map((kind) => make("span", { class: "kind", "data-kind": kind, title: kinds[kind] }, kind)));
    byId("score").min = Math.floor(data.low * 100) / 100;
    byId("score").max = Math.ceil(data.high * 100) / 100;
  }

  function change(part) {
    Object.assign(state, part);
    show();
    toFragment();
  }

  prepare();
  fromFragment();
  show();
  byId("query").addEventListener("change", (event) => change({ query: event.target.value, page: 1 }));
  byId("kind").addEventListener("change", (event) => change({ kind: event.target.value, page: 1 }));
  byId("truth").addEventListener("change", (event) => change({ truth: event.target.checked }));
  byId("score").addEventListener("input", (event) => change({ score: Number(event.target.value), page: 1 }));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll(".pager button")) {
    button.addEventListener("click", () => {
      change({ page: state.page + Number(button.dataset.step) });
      byId("gallery").scrollIntoView();
    });
  }
  addEventListener("hashchange", () => {
    if (!fromFragment()) return;
    show();
    byId("gallery").scrollIntoView();
  });
})();
