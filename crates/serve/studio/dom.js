// Making elements, and saying things.
import { w } from "./words.js";

/** An element: `h("a", { href: "#", class: "x" }, "text", child)`. Functions become listeners. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** A labelled control for a form of settings. */
export function field(label, control, more = {}) {
  return h("label", { class: more.wide ? "wide" : null, title: more.hint }, label, more.output ?? null, control);
}

/** A slider and what it stands at. */
export function slider(label, attributes, hint) {
  const output = h("output", {}, attributes.value);
  const control = h("input", { type: "range", ...attributes, oninput: () => (output.textContent = control.value) });
  const set = (value) => {
    control.value = value;
    output.textContent = control.value;
  };
  return { control, set, element: field(label, control, { output, hint }) };
}

/** A button that does something: it rests meanwhile, and afterwards where it does it `once`; what goes wrong is said. */
export function action(text, work, { once = false, main = false } = {}) {
  const button = h("button", { type: "button", class: main && "main" }, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await work();
      button.disabled = once;
    } catch (error) {
      button.disabled = false;
      say(w("failed") + error.message);
    }
  });
  return button;
}

let timer;

/** Says something for a few seconds, to screen readers, too. */
export function say(text) {
  const status = document.getElementById("status");
  status.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => (status.textContent = ""), 4000);
}

/** `3725` → `1:02:05`. */
export function duration(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
}
