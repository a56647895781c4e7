// The list of names, each as the command's -q has it, and what was found of each.

import { colour } from "./marks.js";
import { make, score } from "./elements.js";

/** The name of a query: what comes before the first =. */
export const nameOf = (text) => text.split("=")[0].trim().replace(/\s+/g, " ");

/** Splits several queries: at line ends and semicolons, and at commas before a =, since phrases may have some. */
export const split = (text) =>
  text
    .split(/[\n;]+/)
    .flatMap((part) => {
      const [names, ...phrases] = part.split("=");
      const all = names.split(",");
      return [...all.slice(0, -1), [all.at(-1), ...phrases].join("=")];
    })
    .map((part) => part.trim())
    .filter(Boolean);

/** The text that the service has quoted. */
function unquoted(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.slice(1, -1); // Go has escapes that JSON lacks
  }
}

export class Names {
  #list;
  #changed;
  #rows = [];
  #count = 0;

  /** changed is called whenever a name was. */
  constructor(list, form, changed) {
    this.#list = list;
    this.#changed = changed;
    const field = form.querySelector("input");
    const take = () => {
      const added = split(field.value);
      field.value = "";
      added.forEach((text) => this.#add(text));
      if (added.length) this.#changed();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      take();
    });
    field.addEventListener("paste", (event) => {
      const text = event.clipboardData.getData("text");
      if (!/[\n;,]/.test(text.trim())) return;
      event.preventDefault();
      field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
      take();
    });
    // A name that was typed and left counts, too.
    field.addEventListener("change", () => setTimeout(take, 0));
  }

  /** The rows that can be asked: without empty ones, and each name once. */
  get #asked() {
    const seen = new Set();
    return this.#rows.filter((row) => {
      const name = nameOf(row.field.value);
      if (!name || seen.has(name)) return false;
      seen.add(name);
      return true;
    });
  }

  /** The queries that can be asked. */
  get queries() {
    return this.#asked.map((row) => row.field.value.trim());
  }

  /** Replaces all names. */
  set(texts) {
    this.#rows = [];
    this.#list.replaceChildren();
    texts.forEach((text) => this.#add(text));
  }

  /** The colour of each name, by name. */
  get colours() {
    return new Map(this.queries.map((text, n) => [nameOf(text), colour(n)]));
  }

  #add(text) {
    const id = `name-${++this.#count}`;
    const field = make("input", { type: "text", id, value: text, maxLength: 4096, spellcheck: true, autocapitalize: "off", enterkeyhint: "done" });
    field.setAttribute("aria-describedby", `${id}-says`);
    const says = make("output", { id: `${id}-says`, class: "says" });
    says.setAttribute("for", id);
    const remove = make("button", { type: "button", class: "remove" }, "×");
    const swatch = make("span", { class: "swatch" });
    const item = make("li", {}, swatch, field, remove, says);
    const row = { item, field, says, remove, swatch };
    let was = text;
    field.addEventListener("input", () => {
      row.problem = "";
      this.#label();
      this.#changed();
    });
    field.addEventListener("change", () => {
      if (field.value.trim() === "") return this.#remove(row);
      was = field.value;
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") (this.#rows[this.#rows.indexOf(row) + 1]?.field ?? document.getElementById("new-name")).focus();
      if (event.key === "Escape" && field.value !== was) {
        field.value = was;
        field.dispatchEvent(new Event("input"));
      }
    });
    remove.addEventListener("click", () => {
      const at = this.#rows.indexOf(row);
      this.#remove(row);
      (this.#rows[Math.min(at, this.#rows.length - 1)]?.remove ?? document.getElementById("new-name")).focus();
    });
    this.#rows.push(row);
    this.#list.append(item);
    this.#label();
  }

  #remove(row) {
    const at = this.#rows.indexOf(row);
    if (at < 0) return;
    this.#rows.splice(at, 1);
    row.item.remove();
    this.#label();
    this.#changed();
  }

  #label() {
    const seen = new Set();
    let n = 0;
    this.#rows.forEach((row, i) => {
      const name = nameOf(row.field.value);
      row.twice = seen.has(name);
      if (name && !row.twice) row.swatch.style.background = colour(n++);
      else row.swatch.style.background = "";
      seen.add(name);
      row.field.setAttribute("aria-label", `Name ${i + 1}`);
      row.remove.setAttribute("aria-label", `Remove ${name || `name ${i + 1}`}`);
    });
  }

  /** Shows a problem at the name that it is about, and reports whether there is one. */
  blame(detail) {
    const at = /^query (\d+):/.exec(detail), asked = this.#asked, quoted = [...detail.matchAll(/"(?:[^"\\]|\\.)+"/g)].map(([text]) => unquoted(text));
    const row = at
      ? asked[at[1] - 1]
      : (asked.findLast((r) => quoted.includes(nameOf(r.field.value))) ?? asked.findLast((r) => quoted.some((text) => r.field.value.includes(text))));
    if (row) row.problem = detail;
    return Boolean(row);
  }

  forgive() {
    for (const row of this.#rows) row.problem = "";
  }

  /** Shows what was found: by name {count, score}, or null if nothing was looked at yet. */
  show(found) {
    for (const row of this.#rows) {
      const of = found?.get(nameOf(row.field.value));
      let text = "", kind = "";
      if (row.problem) [text, kind] = [row.problem, "error"];
      else if (row.twice) [text, kind] = ["is in the list already", "error"];
      else if (of?.count) [text, kind] = [`${of.count === 1 ? "1 box" : `${of.count} boxes`}, best ${score(of.best)}`, "there"];
      else if (of) [text, kind] = [`not there${of.best > 0 ? `, best ${score(of.best)}` : ""}`, "missing"];
      if (row.says.textContent !== text) row.says.textContent = text;
      row.item.dataset.kind = kind;
      row.field.toggleAttribute("aria-invalid", kind === "error");
      if (kind === "error") row.field.setAttribute("aria-invalid", "true");
    }
  }
}
