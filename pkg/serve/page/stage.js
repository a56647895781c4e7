// The picture with its boxes. Boxes are buttons: they are pointed to, tabbed to, and walked
// through with the arrow keys, the best first.

import { make, makeSVG, plural, score } from "./elements.js";
import { colour, ink, placeTags, proposalLook, tagOf } from "./marks.js";

const labelled = 40; // so many boxes have a tag; the others show it when picked

export class Stage {
  #element;
  #picks;
  #frame = make("div", { class: "frame" });
  #image = make("img", { alt: "" });
  #none = make("p", { class: "unseen" });
  #proposals = makeSVG("svg", { class: "proposals", "aria-hidden": "true", preserveAspectRatio: "none" });
  #boxes = make("div", { class: "boxes", role: "group" });
  #tags = make("div", { class: "tags", ariaHidden: "true" });
  #veil = make("div", { class: "veil" }, make("span", { class: "bar" }), make("p", {}));
  #picture = null;
  #marks = [];
  #buttons = [];
  #picked = -1;

  /** picks is called with the index of the mark that is picked, or -1. */
  constructor(element, picks) {
    this.#element = element;
    this.#picks = picks;
    this.#frame.append(this.#image, this.#none, this.#proposals, this.#boxes, this.#tags, this.#veil);
    element.append(this.#frame);
    new ResizeObserver(() => this.#placeTags()).observe(this.#frame);
    this.#frame.addEventListener("pointerleave", () => this.#boxes.contains(document.activeElement) || this.pick(-1));
    this.#frame.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows a picture {name, width, height, shown}; shown is a URL, or null if there is none. */
  picture(picture) {
    this.#picture = picture;
    const { width, height } = picture;
    this.#frame.style.aspectRatio = `${width} / ${height}`;
    this.#frame.style.setProperty("--ratio", width / height);
    this.#image.hidden = !picture.shown;
    this.#none.hidden = Boolean(picture.shown);
    this.#none.textContent = "This browser can't show this picture. Its boxes are right.";
    if (picture.shown) {
      if (this.#image.src !== picture.shown) this.#image.src = picture.shown;
      this.#image.alt = picture.name;
    }
    this.#proposals.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }

  /** Says over the picture that it is waited for, or nothing more if text is empty. */
  wait(text) {
    this.#veil.hidden = !text;
    this.#veil.lastChild.textContent = text;
  }

  proposals(boxes) {
    const shapes = boxes.map(([x0, y0, x1, y1], rank) => {
      const look = proposalLook(rank, boxes.length);
      return makeSVG("rect", {
        x: x0, y: y0, width: x1 - x0, height: y1 - y0, stroke: look.colour, "stroke-opacity": look.opacity, "stroke-width": 2 * look.width,
      });
    });
    this.#proposals.replaceChildren(...shapes.reverse());
  }

  /** Shows marks {name, n, score, edges}, the best first. */
  marks(marks) {
    const focused = this.#buttons.indexOf(document.activeElement);
    this.#marks = marks;
    this.#picked = -1;
    this.#frame.classList.remove("picking");
    const { width, height } = this.#picture;
    const share = (v, of) => `${(100 * v) / of}%`;
    this.#buttons = marks.map((mark, i) => {
      const [x0, y0, x1, y1] = mark.edges;
      const button = make("button", { type: "button", class: "box", tabIndex: i ? -1 : 0 });
      button.setAttribute("aria-label", `${mark.name}, score ${score(mark.score)}, ${i + 1} of ${marks.length}`);
      button.setAttribute("aria-describedby", "parts");
      Object.assign(button.style, { left: share(x0, width), top: share(y0, height), width: share(x1 - x0, width), height: share(y1 - y0, height) });
      button.style.setProperty("--mark", colour(mark.n));
      for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, () => this.pick(i));
      return button;
    });
    // Small boxes lie above large ones, so that each can be pointed to.
    const area = (i) => (marks[i].edges[2] - marks[i].edges[0]) * (marks[i].edges[3] - marks[i].edges[1]);
    [...marks.keys()].sort((a, b) => area(b) - area(a)).forEach((i, z) => (this.#buttons[i].style.zIndex = z + 1));
    this.#boxes.setAttribute("aria-label", marks.length ? `${plural(marks.length, "box", "boxes")}, the best first` : "No boxes");
    this.#boxes.replaceChildren(...this.#buttons);
    this.#placeTags();
    if (focused >= 0 && marks.length) this.#focus(Math.min(focused, marks.length - 1));
  }

  /** Picks a box, or none with -1. */
  pick(i) {
    if (i === this.#picked) return;
    this.#buttons[this.#picked]?.classList.remove("picked");
    this.#picked = i;
    this.#buttons[i]?.classList.add("picked");
    this.#frame.classList.toggle("picking", i >= 0);
    [...this.#tags.children].forEach((tag, j) => tag.classList.toggle("picked", j === i));
    this.#picks(i);
  }

  #focus(i) {
    this.#buttons.forEach((button, j) => (button.tabIndex = j === i ? 0 : -1));
    this.#buttons[i].focus();
  }

  #key(event) {
    const at = this.#buttons.indexOf(document.activeElement), count = this.#buttons.length;
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: count - 1 }[event.key];
    if (event.key === "Escape") return this.pick(-1);
    if (to === undefined) return;
    event.preventDefault();
    this.#focus((to + count) % count);
  }

  #placeTags() {
    const w = this.#frame.clientWidth, h = this.#frame.clientHeight;
    if (!this.#picture || !w || !h) return;
    const size = w < 480 ? 12 : 13, some = this.#marks.slice(0, labelled);
    const scale = w / this.#picture.width;
    const frames = this.#marks.map(({ edges: [x0, y0, x1, y1] }) => ({ x: x0 * scale, y: y0 * scale, w: (x1 - x0) * scale, h: (y1 - y0) * scale }));
    const tags = some.map((mark) => tagOf(mark.name, mark.score, size, Math.max(90, w * 0.6)));
    const places = placeTags(frames, tags, { w, h });
    this.#tags.replaceChildren(
      ...tags.map((tag, i) => {
        const fill = colour(some[i].n);
        const element = make("span", { class: "tag" }, tag.text);
        const { x, y } = places[i];
        Object.assign(element.style, { left: `${x}px`, top: `${y}px`, width: `${tag.w}px`, height: `${tag.h}px`, background: fill, color: ink(fill), fontSize: `${size}px`, zIndex: labelled - i });
        element.classList.toggle("picked", i === this.#picked);
        return element;
      }),
    );
  }
}
