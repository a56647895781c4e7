// Messages of what went wrong or is waited for. Each has a key; a later one of the same key
// takes its place.

import { make } from "./elements.js";

export class Messages {
  #element;
  #shown = new Map();

  constructor(element) {
    this.#element = element;
  }

  /** Shows a message of the kind error or busy. actions are pairs of a label and a function. */
  show(key, kind, text, actions = []) {
    if (this.#shown.get(key)?.firstChild.textContent === text) return; // it would be read out again
    this.drop(key);
    const buttons = actions.map(([label, act]) => {
      const button = make("button", { type: "button", class: "button small-button" }, label);
      button.addEventListener("click", act);
      return button;
    });
    const words = make("p", {}, text);
    const message = make("div", { class: "message" }, words, ...buttons);
    message.dataset.kind = kind;
    // What comes into a live region is read out. A countdown would be read each second.
    message.setAttribute("role", kind === "error" ? "alert" : "status");
    this.#shown.set(key, message);
    this.#element.append(message);
  }

  /** Shows the seconds that are left beside a busy message, silently. */
  count(key, text) {
    const message = this.#shown.get(key);
    if (!message) return;
    const clock = message.querySelector(".clock") ?? message.insertBefore(make("span", { class: "clock", ariaHidden: "true" }), message.children[1] ?? null);
    clock.textContent = text;
  }

  has(key) {
    return this.#shown.has(key);
  }

  drop(key) {
    this.#shown.get(key)?.remove();
    this.#shown.delete(key);
  }
}
