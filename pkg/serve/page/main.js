// The page. A picture's regions are encoded once and kept by the service; each change of the
// names matches them again, and the threshold acts on what is here already.

import * as api from "./api.js";
import { camera } from "./camera.js";
import { byId, make, makeSVG, plural, score } from "./elements.js";
import { files } from "./files.js";
import * as formats from "./formats.js";
import { colour, draw } from "./marks.js";
import { Messages } from "./messages.js";
import { Names, nameOf } from "./names.js";
import { hint, parts } from "./parts.js";
import { paintOn, read } from "./pictures.js";
import * as search from "./search.js";
import * as snippets from "./snippets.js";
import { Stage } from "./stage.js";

const most = 50; // boxes of a name that are asked for; the largest choice of the page
const listedBoxes = 60; // in the list of what was found
const atOnce = 2; // pictures that are encoded at a time

let limits = null; // of the service
let asked = 0; // how often the names have changed
let running = 0; // pictures that are being encoded
const pictures = [];
let current = null;
let chosen = { marks: [], at: -1 }; // what the stage shows, and what is picked of it

const messages = new Messages(byId("messages")), searchMessages = new Messages(byId("search-messages"));
const names = new Names(byId("names"), byId("add"), namesChanged);
const stage = new Stage(byId("stage"), picked);
const threshold = () => Number(byId("threshold").value);

// ---- pictures

function take(list) {
  for (const file of list) {
    const picture = { file, name: file.name || "picture", state: "waiting", asked: -1, end: new AbortController() };
    pictures.push(picture);
    current ??= picture;
  }
  if (list.length) select(list.length === 1 ? pictures.at(-1) : current);
  work();
}

function select(picture) {
  current = picture;
  messages.drop("names");
  show();
  if (picture?.state === "ready") match(picture);
}

function remove(picture) {
  const at = pictures.indexOf(picture);
  pictures.splice(at, 1);
  picture.end.abort();
  for (const url of [picture.shown, picture.small]) if (url) URL.revokeObjectURL(url);
  select(pictures[Math.min(at, pictures.length - 1)] ?? null);
  if (!current) byId("start").querySelector("button").focus(); // the button that had the focus is hidden
}

/** Encodes the pictures that wait, the one that is looked at first. */
function work() {
  while (running < atOnce) {
    const next = current?.state === "waiting" ? current : pictures.find((picture) => picture.state === "waiting");
    if (!next) break;
    running++;
    encode(next).finally(() => {
      running--;
      work();
    });
  }
  show();
}

async function encode(picture) {
  picture.state = "encoding";
  try {
    const seen = await read(picture.file);
    if (picture.end.signal.aborted) {
      if (seen) [seen.shown, seen.small].forEach((url) => URL.revokeObjectURL(url));
      return;
    }
    Object.assign(picture, seen);
    show();
    await keep(picture);
    picture.state = "ready";
    await match(picture);
  } catch (problem) {
    if (picture.end.signal.aborted) return;
    failed(picture, problem);
  } finally {
    show();
  }
}

function failed(picture, problem) {
  if (!(problem instanceof api.Problem)) console.error(problem);
  picture.state = "failed";
  picture.problem = problem;
}

function again(picture) {
  Object.assign(picture, { state: "waiting", problem: null });
  work();
}

/** Lets the service encode a picture's regions and keep them. */
async function keep(picture) {
  const { file, end } = picture;
  if (limits && file.size > limits.bytes) throw new api.Problem(413, { detail: `${picture.name} has ${Math.ceil(file.size / (1 << 20))} MB` });
  const regions = await patiently(() => api.regions(file, end.signal), end.signal);
  // XMP may turn a picture otherwise than the browser did.
  if (picture.shown && (picture.width > picture.height) !== (regions.width > regions.height)) picture.shown = null;
  Object.assign(picture, { regions, width: regions.width, height: regions.height });
}

const patiently = (request, signal) => api.patiently(request, waits, signal).finally(() => signal.aborted && messages.drop("busy"));

function waits(seconds, problem) {
  if (!messages.has("busy")) messages.show("busy", "busy", `${api.inWords(problem, limits)} The page tries again by itself.`);
  messages.count("busy", seconds ? `in ${seconds} s` : "now");
  if (seconds === 0) messages.drop("busy");
}

// ---- names

let typing = 0;

function namesChanged() {
  asked++;
  names.forgive();
  messages.drop("names");
  remember();
  show();
  clearTimeout(typing);
  typing = setTimeout(matchAll, 250);
}

async function matchAll() {
  const of = asked;
  if (current?.state === "ready") await match(current);
  for (const picture of pictures) {
    if (of !== asked) return;
    if (picture.state === "ready") await match(picture);
  }
}

/** Matches a picture's kept regions with the names, if that wasn't done already. */
async function match(picture) {
  while (picture.asked !== asked && !picture.end.signal.aborted) {
    const now = asked, queries = names.queries;
    picture.matching?.abort();
    const end = (picture.matching = new AbortController());
    try {
      const result = queries.length ? await askFor(picture, queries, end.signal) : null;
      if (now !== asked || picture.matching !== end) return; // another is under way
      Object.assign(picture, { result, asked: now });
    } catch (problem) {
      if (end.signal.aborted || picture.end.signal.aborted || now !== asked) return;
      if (problem.status === 400 || problem.status === 422) {
        picture.asked = now;
        picture.result = null;
        if (!names.blame(problem.detail)) messages.show("names", "error", api.inWords(problem, limits));
      } else if (problem instanceof api.Problem) {
        Object.assign(picture, { result: null, stuck: now }); // what was found was of other names
        if (picture === current) messages.show("names", "error", api.inWords(problem, limits), [["Try again", () => (messages.drop("names"), match(picture))]]);
        break;
      } else throw problem;
    }
    show();
  }
  show();
}

async function askFor(picture, queries, signal) {
  const request = { queries, threshold: 0, top_k: most, scores: byId("each").checked ? "each" : "together" };
  const once = () => patiently(() => api.match(picture.regions.id, request, signal), signal);
  try {
    return await once();
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    await keep(picture); // the service has dropped them
    return once();
  }
}

// ---- what is shown

/** The detections of a picture that the threshold and the number of a name leave. */
function left(picture) {
  const least = Math.fround(threshold()), each = Number(byId("most").value), counts = new Map();
  return (picture.result?.detections ?? []).filter((d) => {
    if (Math.fround(d.score) < least) return false;
    const n = (counts.get(d.query) ?? 0) + 1;
    counts.set(d.query, n);
    return n <= each;
  });
}

function show() {
  const has = pictures.length > 0, picture = current;
  byId("start").hidden = has;
  byId("stage").hidden = !has || !picture?.width;
  for (const id of ["strip-part", "parts-part"]) byId(id).hidden = !has;
  showStrip();
  showFailure();
  if (picture?.width) {
    stage.picture(picture);
    stage.wait({ waiting: "Waits for its turn", encoding: "Looking at the picture" }[picture.state] ?? "");
    stage.proposals(byId("proposals").checked ? (picture.regions?.boxes ?? []) : []);
  }
  byId("proposal-count").textContent = picture?.regions ? `(${picture.regions.boxes.length})` : "";
  const settled = pictures.every((p) => p.state === "failed" || (p.state === "ready" && (p.asked === asked || p.stuck === asked)));
  document.body.setAttribute("aria-busy", String(!settled));
  showFound();
}

function showFailure() {
  const picture = current;
  if (picture?.state !== "failed") return messages.drop("picture");
  const { problem } = picture;
  const text = problem instanceof api.Problem ? api.inWords(problem, limits) : `This browser can't read it: ${problem.message}.`;
  const mayPass = [0, 401, 408, 429].includes(problem.status) || problem.status >= 500;
  messages.show("picture", "error", `${picture.name}: ${text}`, [
    ...(mayPass ? [["Try again", () => again(picture)]] : []),
    ["Remove it", () => remove(picture)],
  ]);
}

/** Shows what depends on the threshold alone. */
function showFound() {
  const picture = current, colours = [...names.colours.keys()];
  const detections = picture?.result ? left(picture) : [];
  const n = (d) => Math.max(0, colours.indexOf(d.query));
  chosen = { marks: detections, at: -1, n };
  byId("threshold-value").textContent = score(threshold());
  if (picture?.width) stage.marks(detections.map((d) => ({ name: d.query, n: n(d), score: d.score, edges: d.box })));
  byId("parts").replaceChildren(hint());

  const found = picture?.result ? new Map(picture.result.presence.map((p) => [p.query, { best: p.score, count: 0 }])) : null;
  for (const d of detections) if (found.has(d.query)) found.get(d.query).count++;
  names.show(found);

  byId("dots").replaceChildren(
    ...(picture?.result?.detections ?? []).toReversed().map((d) => {
      const dot = makeSVG("circle", { cx: `${Math.max(0, Math.min(1, d.score)) * 100}%`, cy: "50%", r: 4, fill: colour(n(d)) });
      if (d.score < threshold()) dot.setAttribute("class", "under");
      return dot;
    }),
  );

  const items = detections.slice(0, listedBoxes).map((d, i) => {
    const swatch = make("span", { class: "swatch" }), meter = make("i", {});
    swatch.style.background = meter.style.background = colour(n(d));
    meter.style.width = `${100 * Math.max(0, Math.min(1, d.score))}%`;
    const button = make("button", { type: "button" }, swatch, make("span", { class: "found-name" }, d.query), make("span", { class: "meter", ariaHidden: "true" }, meter), make("span", { class: "value" }, score(d.score)));
    for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, () => stage.pick(i));
    button.setAttribute("aria-describedby", "parts");
    return make("li", {}, button);
  });
  if (detections.length > listedBoxes) items.push(make("li", { class: "faint" }, `and ${detections.length - listedBoxes} more`));
  byId("found").replaceChildren(...items);
  byId("found-none").hidden = detections.length > 0;
  byId("found-none").textContent = whyNone(picture);
  const some = pictures.some((p) => p.result);
  for (const button of document.querySelectorAll("[data-download]")) button.disabled = !some;
  for (const button of document.querySelectorAll("[data-copy]")) button.disabled = !pictures.length || !names.queries.length;
  document.querySelector('[data-download="picture"]').disabled = !picture?.result || !picture.small;
  tell(found);
}

function whyNone(picture) {
  if (!picture) return "Nothing yet: there is no picture.";
  if (picture.state === "failed") return "Nothing: the picture couldn't be used.";
  if (picture.state !== "ready") return "The picture is being looked at.";
  if (!names.queries.length) return "Nothing yet: add a name above.";
  if (!picture.result) return "Nothing yet.";
  const best = picture.result.detections[0];
  return best ? `Not there: no box has a score of ${score(threshold())}. The best is ${best.query} with ${score(best.score)}.` : "Not there: the picture has no candidate boxes.";
}

let telling = 0, told = "";

/** Tells screen readers what was found, once it has settled. */
function tell(found) {
  clearTimeout(telling);
  telling = setTimeout(() => {
    if (!found || !current) return;
    const words = [...found].map(([name, { count, best }]) => (count ? `${name}: ${plural(count, "box", "boxes")}, best ${score(best)}` : `${name}: not there`));
    const text = `${current.name}. ${words.join("; ")}.`;
    if (text !== told) byId("live").textContent = told = text;
  }, 700);
}

function picked(i) {
  chosen.at = i;
  const d = chosen.marks[i];
  byId("parts").replaceChildren(d ? parts(d, chosen.n(d)) : hint());
  [...byId("found").children].forEach((item, j) => item.classList.toggle("picked", j === i));
}

function showStrip() {
  const items = pictures.map((picture) => (picture.thumb ??= thumb(picture)));
  const list = byId("strip");
  if (items.length !== list.children.length || items.some((item, i) => item !== list.children[i])) list.replaceChildren(...items);
  for (const picture of pictures) {
    const button = picture.thumb.firstChild, [face, badge] = button.children;
    if (picture.small && face.tagName !== "IMG") face.replaceWith(make("img", { src: picture.small, alt: "" }));
    const count = picture.result ? left(picture).length : 0;
    const says = { waiting: "waits", encoding: "is being looked at", failed: "failed" }[picture.state] ?? (picture.result ? plural(count, "box", "boxes") : "no names yet");
    badge.textContent = { waiting: "·", encoding: "…", failed: "!" }[picture.state] ?? (picture.result ? String(count) : "");
    button.dataset.state = picture.state;
    button.setAttribute("aria-label", `${picture.name}: ${says}`);
    if (picture === current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

function thumb(picture) {
  const face = make("span", { class: "no-face" }, picture.name.split(".").at(-1));
  const button = make("button", { type: "button", class: "thumb", title: picture.name }, face, make("span", { class: "badge", ariaHidden: "true" }));
  button.addEventListener("click", () => select(picture));
  return make("li", {}, button);
}

byId("strip").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...byId("strip").querySelectorAll("button")];
  buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length].focus();
});

// ---- downloads and the same request

/** The object of a picture as the service gives it for this threshold. */
function record(picture) {
  if (!picture.result) return { image: picture.name, error: picture.problem?.message ?? "it wasn't looked at" };
  const least = threshold();
  const presence = picture.result.presence.map((p) => ({ ...p, present: Math.fround(p.score) >= Math.fround(least), threshold: least }));
  return { ...picture.result, image: picture.name, detections: left(picture), presence };
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const base = () => (pictures.length === 1 ? pictures[0].name.replace(/\.[^.]*$/, "") + "." : "");

async function download(kind) {
  clearTimeout(typing);
  await matchAll(); // what was typed at last, too
  const records = pictures.map(record);
  switch (kind) {
    case "json":
      return save(new Blob([formats.json(records)], { type: "application/json" }), `${base()}detections.json`);
    case "coco":
      return save(new Blob([formats.coco(records, names.queries.map(nameOf))], { type: "application/json" }), `${base()}detections.coco.json`);
    case "csv":
      return save(new Blob([formats.csv(records)], { type: "text/csv" }), `${base()}detections.csv`);
    default: {
      const picture = current, order = [...names.colours.keys()];
      const marks = left(picture).map((d) => ({ edges: d.box, name: d.query, score: d.score, n: Math.max(0, order.indexOf(d.query)) }));
      const proposals = byId("proposals").checked ? picture.regions.boxes : [];
      const { blob, extension } = await paintOn(picture.file, (context, scale) => draw(context, marks, proposals, scale));
      return save(blob, `${picture.name.replace(/\.[^.]*$/, "")}.detections.${extension}`);
    }
  }
}

async function copy(kind, button) {
  const request = [...names.queries.map((text) => ["q", text]), ["threshold", String(threshold())], ["top_k", byId("most").value]];
  if (byId("each").checked) request.push(["scores", "each"]);
  const text = snippets[kind](api.address("v1/detect"), pictures.map((picture) => picture.name), request, api.hasToken());
  byId("snippet").textContent = text;
  byId("snippet").hidden = false;
  let says = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    getSelection().selectAllChildren(byId("snippet")); // browsers let only safe pages copy
    says = "Selected below";
  }
  const label = (button.dataset.label ??= button.textContent);
  button.textContent = says;
  byId("live").textContent = says === "Copied" ? "The request is in the clipboard." : "The request is below, selected.";
  setTimeout(() => (button.textContent = label), 2000);
}

// ---- the address: names and settings, so that a view can be kept and sent

let remembering = 0;

function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    const now = new URLSearchParams(names.queries.map((text) => ["q", text]));
    now.set("threshold", threshold());
    now.set("top_k", byId("most").value);
    if (byId("each").checked) now.set("scores", "each");
    if (!byId("search").hidden) now.set("view", "search");
    history.replaceState(null, "", `#${now}`);
  }, 300);
}

/** Takes what the address has, and returns the view that it names, or "" for a place in the page. */
function recall() {
  const hash = location.hash.slice(1);
  if (!hash.includes("=")) return ["detect", "search"].includes(hash) ? hash : "";
  const given = new URLSearchParams(hash);
  if (given.has("threshold")) byId("threshold").value = given.get("threshold");
  if ([...byId("most").options].some((option) => option.value === given.get("top_k"))) byId("most").value = given.get("top_k");
  byId("each").checked = given.get("scores") === "each";
  if (given.has("q")) names.set(given.getAll("q"));
  return given.get("view") ?? "detect";
}

addEventListener("hashchange", () => {
  const wanted = recall();
  if (!wanted) return;
  view(wanted === "search" && !byId("views").hidden ? "search" : "detect");
  namesChanged();
});

function view(name) {
  for (const part of ["detect", "search"]) byId(part).hidden = part !== name;
  for (const link of byId("views").children) link.toggleAttribute("aria-current", link.hash === `#${name}`);
  byId("views").querySelector("[aria-current]")?.setAttribute("aria-current", "page");
  document.querySelector(".skip").hash = name === "search" ? "#search-names" : "#names-title";
  if (name === "search" && !byId("search-names").value) byId("search-names").value = names.queries.join(names.queries.some((text) => text.includes("=")) ? "; " : ", ");
  document.title = name === "search" ? "Search – clipdet" : "clipdet";
}

// ---- start

const choose = files(take), openCamera = camera(take);

async function example() {
  const response = await fetch("example.jpg");
  if (!names.queries.length) {
    names.set(["woman", "helmet", "cat", "coffee=a cup of coffee|an espresso"]);
    byId("most").value = "1";
    namesChanged();
  }
  take([new File([await response.blob()], "sheet.jpg", { type: "image/jpeg" })]);
}

const actions = { choose, camera: openCamera, example, remove: () => current && remove(current) };
for (const button of document.querySelectorAll("[data-action]")) button.addEventListener("click", () => actions[button.dataset.action]());
for (const button of document.querySelectorAll("[data-download]")) {
  button.addEventListener("click", () => download(button.dataset.download).catch((error) => messages.show("download", "error", `The file couldn't be made: ${error.message}.`)));
}
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button.dataset.copy, button));
byId("threshold").addEventListener("input", () => {
  showFound();
  showStrip();
  remember();
});
byId("most").addEventListener("change", () => {
  show();
  remember();
});
byId("proposals").addEventListener("change", show);
byId("each").addEventListener("change", namesChanged);
for (const link of byId("views").children) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    view(link.hash.slice(1));
    remember();
  });
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address has the names
  byId(event.target.hash.slice(1)).focus();
});

api.onToken(
  (wrong) =>
    new Promise((resolve) => {
      const dialog = byId("token-dialog");
      byId("token-note").textContent = wrong ? "The service doesn't know that token." : "Whoever runs it has the token. It is kept until this tab is closed.";
      byId("token").value = "";
      dialog.returnValue = "";
      dialog.addEventListener("close", () => resolve(dialog.returnValue ? byId("token").value.trim() : null), { once: true });
      dialog.showModal();
    }),
);

const wanted = recall();
show();
try {
  const models = await api.models();
  limits = models.limits;
  byId("models-link").hidden = api.hasToken(); // a link sends no token
  const image = models.models.find((model) => model.kind === "clip-image");
  byId("service").textContent = [image?.architecture, models.dtype, models.device].filter(Boolean).join(" · ");
  if (models.index) {
    byId("views").hidden = false;
    search.prepare(models.index, {
      fails: (problem) => (problem ? searchMessages.show("search", "error", api.inWords(problem, limits)) : searchMessages.drop("search")),
      waits: (seconds, problem) => {
        if (!searchMessages.has("busy")) searchMessages.show("busy", "busy", `${api.inWords(problem, limits)} The page tries again by itself.`);
        searchMessages.count("busy", `in ${seconds} s`);
        if (!seconds) searchMessages.drop("busy");
      },
    });
    view(wanted === "search" ? "search" : "detect");
  }
} catch (problem) {
  messages.show("service", "error", problem instanceof api.Problem ? api.inWords(problem, limits) : `The page has a fault: ${problem.message}`);
}
