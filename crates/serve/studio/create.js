// Pictures: a gallery, what made each, and what lies beside and between them.
import { get, post } from "./api.js";
import { field, h, say, slider } from "./dom.js";
import { recipeOf } from "./png.js";
import { empty } from "./runs.js";
import { w } from "./words.js";

const VARIATIONS = 12;
const FRAMES = 16;
const FAVOURITES = 60;

const source = (image) => `data:image/png;base64,${image.b64_json}`;
const favourites = () => JSON.parse(localStorage.getItem("favourites") ?? "[]");
const same = (a, b) => ["model", "seed", "index", "class", "truncation"].every((key) => a[key] === b[key]);

/** A standard normal number (Box and Muller). */
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** From `a` to `b` along the sphere that random latent vectors lie near. */
function slerp(a, b, t) {
  const length = (v) => Math.hypot(...v);
  const cosine = a.reduce((sum, x, i) => sum + x * b[i], 0) / (length(a) * length(b) || 1);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (angle < 1e-4) return a.map((x, i) => x + (b[i] - x) * t);
  const [p, q] = [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
  return a.map((x, i) => p * x + q * b[i]);
}

/** The view; `wanted` is a model by name, or nothing. */
export async function showCreate(main, wanted) {
  const models = (await get("/v1/models")).data.filter((model) => model.makes === "pictures");
  if (!models.length) {
    main.append(empty(w("noPictures"), w("noRunsHow"), "maliang demo"));
    return;
  }
  const model = h("select", { name: "model" }, ...models.map((one) => h("option", {}, one.id)));
  if (models.some((one) => one.id === wanted)) model.value = wanted;
  const seed = h("input", { type: "number", name: "seed", min: 0, max: 4294967295, step: 1, value: 0, required: true });
  const count = slider(w("count"), { name: "count", min: 1, max: 64, value: 24 });
  const className = h("select", { name: "class" });
  const truncation = slider(w("truncation"), { name: "truncation", min: 0.1, max: 1.5, step: 0.05, value: 1 }, w("typical"));
  const make = h("button", { class: "main" }, w("make"));
  const another = h("button", { type: "button" }, w("another"));
  const classField = field(w("className"), className);
  const form = h(
    "form",
    { class: "settings" },
    field(w("model"), model),
    field(w("seed"), seed),
    classField,
    count.element,
    truncation.element,
    h("div", { class: "row" }, make, another),
  );
  const gallery = h("ul", { class: "gallery" });
  const detail = h("div", { "aria-live": "polite" });
  const kept = h("div", {});
  main.append(h("h1", {}, w("create")), form, h("p", { class: "soft" }, w("dropHint")), detail, gallery, kept);

  let details = {};
  let start = null;

  async function choose() {
    details = (await get(`/v1/models/${encodeURIComponent(model.value)}`)).details;
    const classes = details.classes ?? [];
    className.replaceChildren(h("option", { value: "" }, w("each")), ...classes.map((name) => h("option", {}, name)));
    classField.hidden = !classes.length;
    start = null;
  }

  const request = (more) => post("/v1/images/generations", { model: model.value, with_latent: true, ...more });

  /** Does what may fail, and says so if it did. */
  async function attempt(work) {
    make.disabled = another.disabled = true;
    try {
      await work();
    } catch (error) {
      say(w("failed") + error.message);
    } finally {
      make.disabled = another.disabled = false;
    }
  }

  async function paint(selected) {
    const truncationNow = +truncation.control.value;
    const answer = await request({
      seed: +seed.value,
      n: +count.control.value,
      truncation: truncationNow,
      ...(className.value && { class: className.value }),
    });
    const images = answer.data.map((image) => ({ ...image, model: model.value, truncation: truncationNow, hash: answer.model_hash }));
    fill(gallery, images);
    detail.replaceChildren();
    say(`${images.length} ${w("made")}`);
    if (selected !== undefined) gallery.querySelectorAll("button")[selected]?.click();
  }

  function fill(list, images) {
    list.replaceChildren(...images.map((image) => tile(list, image)));
  }

  function tile(list, image) {
    const name = `${w("seed")} ${image.seed}, ${w("index")} ${image.index}${image.class ? `, ${image.class}` : ""}`;
    const star = h("span", { class: "star", "aria-hidden": "true" }, "★");
    star.hidden = !favourites().some((one) => same(one, image));
    const button = h("button", { type: "button", "aria-pressed": "false" }, h("img", { src: source(image), alt: name }), star);
    button.addEventListener("click", () => {
      for (const other of main.querySelectorAll(".gallery button")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", "true");
      explain(image, star);
    });
    return h("li", {}, button);
  }

  /** One picture: its recipe, and what can be done with it. */
  function explain(image, star) {
    const facts = h("dl", {});
    const fact = (name, value) => value != null && facts.append(h("dt", {}, name), h("dd", {}, String(value)));
    fact(w("model"), `${image.model} ${image.hash.slice(0, 12)}`);
    fact(w("seed"), image.seed);
    fact(w("index"), image.seed == null ? null : image.index);
    fact(w("className"), image.class);
    if (image.seed != null) fact(w("truncation"), image.truncation);
    const file = `${image.model}-${image.seed ?? "point"}-${image.index}.png`;
    const strength = slider(w("strength"), { min: 0.1, max: 1.5, step: 0.05, value: 0.5 });
    const result = h("div", {});
    const vary = h("button", { type: "button" }, w("vary"));
    vary.addEventListener("click", () =>
      attempt(async () => {
        const points = Array.from({ length: VARIATIONS }, () => image.latent.map((x) => x + strength.control.value * normal()));
        const answer = await request({ latent: points, ...(image.class && { class: image.class }) });
        const list = h("ul", { class: "gallery" });
        fill(list, answer.data.map((one) => ({ ...one, model: image.model, hash: answer.model_hash })));
        result.replaceChildren(list);
      }),
    );
    const walk = h("button", { type: "button" }, w(start ? "walkTo" : "walkFrom"));
    walk.addEventListener("click", () => {
      if (!start) {
        start = image;
        walk.textContent = w("walkTo");
        walk.disabled = true;
        return;
      }
      const [from, to] = [start, image];
      start = null;
      attempt(async () => {
        const points = Array.from({ length: FRAMES }, (_, i) => slerp(from.latent, to.latent, i / (FRAMES - 1)));
        const answer = await request({ latent: points, ...(to.class && { class: to.class }) });
        const film = h("div", { class: "walk", tabindex: 0, role: "group", "aria-label": w("walk") });
        film.append(...answer.data.map((one, i) => h("img", { src: source(one), alt: `${i + 1}/${FRAMES}` })));
        result.replaceChildren(h("h2", {}, w("walk")), film);
      });
    });
    const keep = h("button", { type: "button" }, w(star.hidden ? "favourite" : "unfavourite"));
    keep.disabled = image.seed == null;
    keep.addEventListener("click", () => {
      const { model, seed, index, truncation } = image;
      const own = { model, seed, index, class: image.class, truncation };
      const others = favourites().filter((one) => !same(one, own));
      const list = star.hidden ? [own, ...others].slice(0, FAVOURITES) : others;
      localStorage.setItem("favourites", JSON.stringify(list));
      star.hidden = !star.hidden;
      keep.textContent = w(star.hidden ? "favourite" : "unfavourite");
      showKept();
    });
    detail.replaceChildren(
      h(
        "section",
        { class: "detail", "aria-label": w("recipe") },
        h("img", { class: "large", src: source(image), alt: "" }),
        h(
          "div",
          {},
          facts,
          h("p", { class: "row" }, h("a", { href: source(image), download: file }, w("download")), keep, walk),
          h("div", { class: "row" }, h("div", {}, strength.element), vary),
        ),
      ),
      result,
    );
  }

  /** The favourites of this model, made again from their recipes. */
  async function showKept() {
    const own = favourites().filter((one) => one.model === model.value);
    if (!own.length) return kept.replaceChildren();
    const list = h("ul", { class: "gallery" });
    // One request a seed, class and truncation; a picture's number says how many it takes to reach it.
    for (const one of own) {
      if (one.index > 63) continue;
      const more = { seed: one.seed, n: one.index + 1, truncation: one.truncation, ...(one.class && { class: one.class }) };
      const answer = await request(more).catch(() => null);
      const image = answer?.data.at(-1);
      if (image) list.append(tile(list, { ...image, ...one, hash: answer.model_hash }));
    }
    kept.replaceChildren(h("h2", {}, `★ ${w("favourite")}`), list);
  }

  /** The settings of a picture that was dropped here. */
  async function restore(file) {
    const recipe = await recipeOf(file).catch(() => null);
    if (!recipe) return say(w("notOurs"));
    for (const one of models) {
      const { details } = await get(`/v1/models/${encodeURIComponent(one.id)}`);
      if (details.hash !== recipe.model_hash) continue;
      if (recipe.z) return say(w("givenPoint"));
      model.value = one.id;
      await choose();
      seed.value = recipe.seed;
      count.set(Math.min(64, Math.max(count.control.value, recipe.index + 1)));
      truncation.set(recipe.truncation);
      className.value = recipe.class ?? "";
      await attempt(() => paint(recipe.index));
      return say(w("restored"));
    }
    say(w("otherModel") + recipe.model);
  }

  main.addEventListener("dragover", (event) => event.preventDefault());
  main.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) restore(event.dataTransfer.files[0]);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(paint);
  });
  another.addEventListener("click", () => {
    seed.value = Math.floor(Math.random() * 4294967296);
    attempt(paint);
  });
  model.addEventListener("change", () => attempt(async () => {
    await choose();
    await paint();
    await showKept();
  }));
  await choose();
  await attempt(() => paint());
  await showKept();
}
