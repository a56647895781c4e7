// Elements of the page. Texts are always texts, never HTML.

export const byId = (id) => document.getElementById(id);

/** Makes an element with attributes, or properties where they exist, and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** The same in SVG. */
export function makeSVG(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export const number = (value, digits) => value.toFixed(digits);

/** A score: cut, not rounded, so that a box under a threshold never shows it. */
export function score(value, digits = 2) {
  const unit = 10 ** digits, rounding = 4e-8; // 0.29 as float32 is a little less
  return number(Math.floor((Math.fround(value) + rounding) * unit) / unit, digits);
}

export const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;
