// The parts of a detection's score, in words and bars.

import { make, number, score } from "./elements.js";
import { colour } from "./marks.js";

function bar(share, tone) {
  const inner = make("i", {});
  inner.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  if (tone) inner.style.background = tone;
  return make("span", { class: "meter", ariaHidden: "true" }, inner);
}

/** What is said where no box is picked. */
export const hint = () => make("p", { class: "faint" }, "Point to a box, or tab to one and walk with the arrow keys, to see what its score is made of.");

/** The parts of detection d, whose name is the n-th. */
export function parts(d, n) {
  const swatch = make("span", { class: "swatch" });
  swatch.style.background = colour(n);
  const row = (term, value, ...rest) => make("div", {}, make("dt", {}, term), make("dd", {}, make("span", { class: "value" }, value), ...rest));
  const [x0, y0, x1, y1] = d.box.map(Math.round);
  return make(
    "div",
    { class: "sheet" },
    make("p", { class: "sheet-title" }, swatch, make("b", {}, d.query), " ", make("span", { class: "value" }, score(d.score, 3))),
    make(
      "dl",
      { class: "bars" },
      row("score", score(d.score, 3), bar(d.score, colour(n)), make("small", {}, "√(probability × objectness)")),
      row("probability", score(d.probability, 3), bar(d.probability), make("small", {}, "this, of all names and background")),
      row("objectness", score(d.objectness, 3), bar(d.objectness), make("small", {}, "a whole object, of any kind")),
      row("cosine", number(d.cosine, 3), bar(d.cosine), make("small", {}, "of pixels and words")),
    ),
    make(
      "dl",
      { class: "words" },
      row("nearest phrase", d.phrase),
      row("runner-up", d.runner_up || "none: it is the only name"),
      row("box", `${x1 - x0} × ${y1 - y0} pixels at ${x0}, ${y0}`),
    ),
  );
}
