// How boxes look: colours and the places of tags, on the page and in the picture that is
// downloaded. It is what the command's pictures look like (pkg/overlay).

import { score as cut } from "./elements.js";

// The colours of Okabe and Ito that the colour-blind can tell apart, without black; green
// and blue are lighter, so that they show on dark pictures. https://jfly.uni-koeln.de/color/
const first = ["#e69f00", "#56b4e9", "#0cb888", "#f0e442", "#cc79a7", "#d55e00", "#1f86d8"];

/** The colour of the n-th name. Beyond the first ones, hues are a golden ratio apart. */
export function colour(n) {
  if (n < first.length) return first[n];
  const hue = (n * (Math.sqrt(5) - 1)) / 2;
  const lightness = [0.75, 0.5, 0.62][n % 3];
  const channel = (shift) => {
    const k = (shift + 12 * (hue % 1)) % 12;
    const a = 0.8 * Math.min(lightness, 1 - lightness);
    return Math.round(255 * (lightness - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return "#" + [channel(0), channel(8), channel(4)].map((v) => v.toString(16).padStart(2, "0")).join("");
}

/** Black or white, whichever is easier to read on a colour (WCAG's relative luminance). */
export function ink(hex) {
  const linear = [1, 3, 5].map((at) => {
    const s = parseInt(hex.slice(at, at + 2), 16) / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return luminance > 0.179 ? "#000000" : "#ffffff"; // where both have the same contrast
}

/** How a proposal is drawn: the best of count are wide and yellow, the worst thin and violet. */
export function proposalLook(rank, count) {
  const strength = (count > 1 ? 1 - rank / (count - 1) : 1) ** 5;
  const mix = (a, b) => Math.round(a + strength * (b - a));
  return {
    colour: `rgb(${mix(0x8b, 0xff)}, ${mix(0x7b, 0xe0)}, ${mix(0xe0, 0x1a)})`,
    opacity: 0.25 + 0.75 * strength,
    width: 0.5 + 0.7 * strength,
  };
}

const overlap = (a, b) =>
  Math.max(0, Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x)) * Math.max(0, Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y));
const hidden = (under, what) => (what.w * what.h > 0 ? overlap(under, what) / (what.w * what.h) : 0);

/**
 * Places a tag at each frame, the first ones first: where it hides least of other tags and
 * frames. frames are {x, y, w, h}, sizes {w, h}, all in one unit; picture is {w, h}.
 */
export function placeTags(frames, sizes, picture) {
  const placed = [];
  sizes.forEach(({ w, h }, own) => {
    const f = frames[own];
    const left = f.x, right = f.x + f.w - w, top = f.y, bottom = f.y + f.h;
    const candidates = [
      [left, top - h], [left, bottom], [right, top - h], [right, bottom],
      [left, top], [left, bottom - h], [right, top], [right, bottom - h],
      [left, top - 2 * h], [left, bottom + h], [left, top + h], [left, bottom - 2 * h],
      [left, top - 3 * h], [left, bottom + 2 * h], [left, top + 2 * h], [left, bottom - 3 * h],
    ];
    let best = Infinity, chosen;
    candidates.forEach(([x, y], i) => {
      let cost = 0.02 * i;
      if (y < 0 || y + h > picture.h) cost += 10; // it moves into the picture, away from its frame
      const at = { x: Math.max(0, Math.min(x, picture.w - w)), y: Math.max(0, Math.min(y, picture.h - h)), w, h };
      for (const other of placed) cost += hidden(at, other);
      frames.forEach((other, j) => {
        if (j !== own) cost += hidden(at, other);
      });
      if (cost < best) [best, chosen] = [cost, at];
    });
    placed.push(chosen);
  });
  return placed;
}

const font = (size) => `500 ${size}px system-ui, sans-serif`;
const ruler = document.createElement("canvas").getContext("2d");

/** The name, cut to fit into so many pixels beside its score, and the size of its tag. */
export function tagOf(name, score, size, room) {
  ruler.font = font(size);
  const padding = Math.round(size / 3), width = (text) => ruler.measureText(text).width;
  const end = " " + cut(score);
  let letters = [...name];
  if (width(name + end) > room - 2 * padding) {
    while (letters.length && width(letters.join("") + "…" + end) > room - 2 * padding) letters.pop();
    letters = letters.length ? [letters.join("").trim(), "…"] : [];
  }
  const text = (letters.join("") + end).trim();
  return { text, w: Math.ceil(width(text)) + 2 * padding, h: Math.round(size * 1.4), padding };
}

/** Draws boxes onto a canvas of the whole picture. marks are {edges, name, score, n}, best first. */
export function draw(context, marks, proposals, scale) {
  const { width, height } = context.canvas;
  const side = Math.sqrt(width * height);
  const line = Math.max(1, side / 250), size = Math.max(10, Math.round((side * 15) / 600));
  const frame = ([x0, y0, x1, y1]) => ({ x: x0 * scale, y: y0 * scale, w: (x1 - x0) * scale, h: (y1 - y0) * scale });
  context.lineJoin = "miter";
  [...proposals.entries()].reverse().forEach(([rank, edges]) => {
    const look = proposalLook(rank, proposals.length), f = frame(edges);
    Object.assign(context, { strokeStyle: look.colour, globalAlpha: look.opacity, lineWidth: line * look.width });
    context.strokeRect(f.x, f.y, f.w, f.h);
  });
  context.globalAlpha = 1;
  const frames = marks.map((m) => frame(m.edges));
  for (let i = marks.length - 1; i >= 0; i--) {
    const f = frames[i];
    Object.assign(context, { strokeStyle: "rgba(0, 0, 0, 0.6)", lineWidth: 2 * line });
    context.strokeRect(f.x, f.y, f.w, f.h);
    Object.assign(context, { strokeStyle: colour(marks[i].n), lineWidth: line });
    context.strokeRect(f.x, f.y, f.w, f.h);
  }
  const tags = marks.map((m) => tagOf(m.name, m.score, size, width));
  const places = placeTags(frames, tags, { w: width, h: height });
  context.font = font(size);
  context.textBaseline = "alphabetic";
  for (let i = marks.length - 1; i >= 0; i--) {
    const { x, y, w, h } = places[i], fill = colour(marks[i].n);
    context.fillStyle = fill;
    context.fillRect(x, y, w, h);
    context.fillStyle = ink(fill);
    context.fillText(tags[i].text, x + tags[i].padding, y + size * 1.05);
  }
}
