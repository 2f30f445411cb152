// For learners: a GAN and a VAE of a few hundred numbers that learn to imitate points of the plane, while one watches.
import { chart } from "./chart.js";
import { field, h, slider } from "./dom.js";
import { Gan, SHAPES, Vae, draw } from "./toy.js";
import { w } from "./words.js";

const REAL = 256;
const SIDE = 480;
/** Steps between two points of a curve. */
const EVERY = 10;
/** Milliseconds between steps in slow motion. */
const SLOW = 250;
const REDRAW = 300;

/** The view. Training ends when `signal` says that the view is left. */
export function showLab(main, signal) {
  const model = h("select", { name: "model" }, h("option", { value: "gan" }, "GAN"), h("option", { value: "vae" }, "VAE"));
  const shape = h("select", { name: "shape" }, ...Object.keys(SHAPES).map((name) => h("option", { value: name }, w(`shape-${name}`))));
  const rate = slider(w("labRate"), { name: "rate", min: -4, max: -1.5, step: 0.25, value: -2.5 });
  const critic = slider(w("labCritic"), { name: "critic", min: 0, max: 4, step: 0.5, value: 1 }, w("labCriticHint"));
  const beta = slider(w("labBeta"), { name: "beta", min: 0, max: 1, step: 0.02, value: 0.04 }, w("labBetaHint"));
  const run = h("button", { class: "main", type: "submit" }, w("labRun"));
  const step = h("button", { type: "button" }, w("labStep"));
  const again = h("button", { type: "button" }, w("labAgain"));
  const slow = h("input", { type: "checkbox", name: "slow" });
  const form = h("form", { class: "settings" }, field(w("model"), model), field(w("labShape"), shape), rate.element, critic.element, beta.element,
    h("div", { class: "row" }, run, step, again, h("label", { class: "check" }, slow, w("labSlow"))));
  const canvas = h("canvas", { class: "plane", width: SIDE, height: SIDE, role: "img", "aria-label": w("labPlane") });
  const legend = h("p", { class: "legend" });
  const count = h("p", { class: "soft" });
  const words = h("p", { class: "say", "aria-live": "polite" });
  const curves = h("div", {});
  const lesson = h("div", { class: "lesson" });
  main.append(h("h1", {}, w("lab")), h("p", { class: "soft" }, w("labIntro")), form,
    h("div", { class: "lab" }, h("div", {}, canvas, legend), h("div", {}, count, words, curves, lesson)));

  let net, real, steps, log, playing = false, last = 0, drawn = 0;

  function begin() {
    steps = 0;
    log = new Map();
    real = Array.from({ length: REAL }, SHAPES[shape.value]);
    const isGan = model.value === "gan";
    net = isGan ? new Gan() : new Vae();
    critic.element.hidden = !isGan;
    beta.element.hidden = isGan;
    legend.replaceChildren(...(isGan ? ["real", "made", "opinion"] : ["real", "made", "rebuilt"]).map((name) => h("span", { class: `key ${name}` }, w(`lab-${name}`))));
    lesson.replaceChildren(...w(isGan ? "labGan" : "labVae").split("\n").map((text) => h("p", {}, text)));
    curves.replaceChildren();
    show();
  }

  function train() {
    const batch = Array.from({ length: 64 }, () => real[Math.floor(Math.random() * REAL)]);
    const losses = net.step(batch, { rate: 10 ** rate.control.value, critic: +critic.control.value, beta: +beta.control.value });
    steps++;
    if (steps % EVERY) return;
    for (const [name, value] of Object.entries(losses)) {
      const title = w(`lab-${name}`);
      if (!log.has(title)) log.set(title, []);
      log.get(title).push([steps, value]);
    }
  }

  function show() {
    draw(canvas, net, real);
    count.textContent = `${steps.toLocaleString()} ${w("steps")}`;
    words.textContent = steps ? w(net.judge(real)) : w("labBegin");
    // A chart is drawn a moment after it is made: one that is replaced at once is never seen.
    if (playing && performance.now() - drawn < REDRAW) return;
    drawn = performance.now();
    const series = [...log].map(([name, points]) => ({ name, points }));
    if (series.length) curves.replaceChildren(chart(series, { label: w("losses") }));
  }

  function turn(time) {
    if (signal.aborted || !playing) return;
    if (!slow.checked || time - last > SLOW) {
      // As many steps as leave the page quick.
      const until = performance.now() + 12;
      do train();
      while (!slow.checked && performance.now() < until);
      show();
      last = time;
    }
    requestAnimationFrame(turn);
  }

  function play(on) {
    playing = on;
    run.textContent = w(on ? "labPause" : "labRun");
    if (on) requestAnimationFrame(turn);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    play(!playing);
  });
  step.addEventListener("click", () => {
    play(false);
    train();
    show();
  });
  again.addEventListener("click", begin);
  model.addEventListener("change", begin);
  shape.addEventListener("change", begin);
  begin();
}
