// Searches in the service's index. It has regions and the paths of pictures, not pictures;
// these come from a folder that the person chooses, and stay in the browser.

import * as api from "./api.js";
import { byId, make, makeSVG, number, plural, score } from "./elements.js";
import { colour } from "./marks.js";
import { split } from "./names.js";

const local = new Map(); // lists of files by their names
let shown = [], running = null, urls = [];

const tail = (path) => path.split(/[\\/]/).at(-1);

/** The file of the folder whose path has the most last parts in common with a path. */
function fileOf(path) {
  const parts = path.split(/[\\/]/).reverse();
  let best = null, most = 0;
  for (const file of local.get(tail(path)) ?? []) {
    const own = file.webkitRelativePath.split("/").reverse();
    let n = 0;
    while (n < own.length && own[n] === parts[n]) n++;
    if (n > most) [best, most] = [file, n];
  }
  return best;
}

function card(hit, n, rank) {
  const [x0, y0, x1, y1] = hit.box;
  const picture = make("div", { class: "hit-picture" });
  picture.style.aspectRatio = `${hit.width} / ${hit.height}`;
  const svg = makeSVG("svg", { viewBox: `0 0 ${hit.width} ${hit.height}`, role: "img", "aria-label": `box of ${hit.query} in ${tail(hit.image)}` });
  const rect = (attributes) => makeSVG("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, ...attributes });
  svg.append(rect({ class: "under" }), rect({ class: "over", stroke: colour(n) }));
  const file = fileOf(hit.image);
  if (file) {
    const url = URL.createObjectURL(file);
    urls.push(url);
    const image = make("img", { src: url, alt: "", loading: "lazy", decoding: "async" });
    // Of another shape it has changed, or the index has it as stored: the box is elsewhere in it.
    image.addEventListener("load", () => Math.abs((image.naturalWidth * hit.height) / (image.naturalHeight * hit.width) - 1) > 0.02 && image.remove());
    picture.append(image);
  }
  picture.append(svg);
  const title = [
    `probability ${score(hit.probability, 3)}, objectness ${score(hit.objectness, 3)}, cosine ${number(hit.cosine, 3)}`,
    `nearest phrase: ${hit.phrase}`, hit.runner_up && `runner-up: ${hit.runner_up}`,
  ].filter(Boolean);
  return make(
    "li",
    { class: "hit" },
    picture,
    make(
      "div",
      { class: "hit-text" },
      make("b", { class: "value" }, `${rank}. ${score(hit.score, 3)}`), " ",
      make("span", { class: "hit-path" }, tail(hit.image)),
      make("p", { class: "hit-folder" }, hit.image.slice(0, -tail(hit.image).length)),
      make("details", {}, make("summary", { class: "faint" }, "Parts of the score"), ...title.map((line) => make("p", { class: "small" }, line)), make("p", { class: "small" }, `region ${hit.region}: ${Math.round(x1 - x0)} × ${Math.round(y1 - y0)} of ${hit.width} × ${hit.height} pixels`)),
    ),
  );
}

function render() {
  urls.forEach((url) => URL.revokeObjectURL(url));
  urls = [];
  byId("hits").replaceChildren(
    ...shown.map(({ query, hits }, n) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = colour(n);
      const title = make("h3", {}, swatch, query, " ", make("small", {}, plural(hits.length, "hit", "hits")));
      return make("section", {}, title, hits.length ? make("ol", { class: "hits" }, ...hits.map((hit, i) => card(hit, n, i + 1))) : make("p", { class: "faint" }, "No region fits."));
    }),
  );
}

/** Prepares the view. index is {pictures, regions}; fails shows a problem, or null for none. */
export function prepare(index, { fails, waits }) {
  byId("index-size").textContent = `${plural(index.pictures, "picture", "pictures")}, ${plural(index.regions, "region", "regions")}`;
  byId("folder-button").addEventListener("click", () => byId("folder").click());
  byId("folder").addEventListener("change", (event) => {
    local.clear();
    for (const file of event.target.files) {
      if (file.type.startsWith("image/")) local.set(file.name, [...(local.get(file.name) ?? []), file]);
    }
    const known = shown.flatMap(({ hits }) => hits), there = known.filter((hit) => fileOf(hit.image)).length;
    byId("folder-note").textContent = known.length ? `${there} of ${plural(known.length, "hit has", "hits have")} a picture there.` : "";
    render();
  });
  byId("search-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const queries = split(byId("search-names").value);
    if (!queries.length) return byId("search-names").focus();
    running?.abort();
    const now = (running = new AbortController());
    const request = { queries, top_k: Number(byId("search-most").value), per_picture: byId("per-picture").checked, path: byId("search-path").value.trim() };
    fails(null);
    byId("search-live").textContent = "Searching…";
    byId("search").setAttribute("aria-busy", "true");
    try {
      const answer = await api.patiently(() => api.search(request, now.signal), waits, now.signal);
      shown = answer.results;
      render();
      byId("search-live").textContent = shown.map(({ query, hits }) => `${query}: ${plural(hits.length, "hit", "hits")}`).join(", ");
    } catch (problem) {
      if (now.signal.aborted) return;
      byId("search-live").textContent = "";
      fails(problem);
    } finally {
      if (running === now) byId("search").removeAttribute("aria-busy");
    }
  });
}
