// Pictures: a gallery, what made each, and what lies beside and between them.
import { get, post } from "./api.js";
import { field, h, say, slider } from "./dom.js";
import { recipeOf } from "./png.js";
import { empty } from "./runs.js";
import { normal } from "./toy.js";
import { w } from "./words.js";

const VARIATIONS = 12;
const FRAMES = 16;
const FAVOURITES = 60;
const DIRECTIONS = 6;
const SIDE = 512;

const source = (image) => `data:image/png;base64,${image.b64_json}`;
const favourites = () => JSON.parse(localStorage.getItem("favourites") ?? "[]");
const same = (a, b) => ["model", "seed", "index", "class", "truncation"].every((key) => a[key] === b[key]);

/** A file as base64, at most `SIDE` pixels wide and high: no model here sees more. */
async function shrunk(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.max(1, bitmap.width * scale), Math.max(1, bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
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
  /** The model's directions, once they were asked for. */
  let directions = null;

  async function choose() {
    details = (await get(`/v1/models/${encodeURIComponent(model.value)}`)).details;
    const classes = details.classes ?? [];
    className.replaceChildren(h("option", { value: "" }, w("each")), ...classes.map((name) => h("option", {}, name)));
    classField.hidden = !classes.length;
    start = directions = null;
  }

  /** Pictures of the model, with their points where it has a latent space. */
  const request = (more) => post("/v1/images/generations", { model: model.value, with_latent: details.latent != null, ...more });

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
    return h("li", {}, button, image.class ? h("span", { class: "soft class" }, image.class) : null);
  }

  /** One picture: its recipe, and what can be done with it; varying and walking need a point of a latent space. */
  function explain(image, star) {
    const facts = h("dl", {});
    const fact = (name, value) => value != null && facts.append(h("dt", {}, name), h("dd", {}, String(value)));
    fact(w("model"), `${image.model} ${image.hash.slice(0, 12)}`);
    fact(w("seed"), image.seed);
    fact(w("index"), image.seed == null ? null : image.index);
    fact(w("className"), image.class);
    if (image.seed != null) fact(w("truncation"), image.truncation);
    const large = h("img", { class: "large", src: source(image), alt: w("recipe") });
    const file = `${image.model}-${image.seed ?? "point"}-${image.index}.png`;
    const download = h("a", { href: source(image), download: file }, w("download"));
    const along = h("details", { class: "along" }, h("summary", {}, w("along")));
    along.addEventListener("toggle", () => along.open && along.childElementCount === 1 && attempt(fillAlong));

    /** Sliders that move the picture along directions of the model; the newest position is always the next that is asked for. */
    async function fillAlong() {
      directions ??= (await get(`/v1/models/${encodeURIComponent(model.value)}/directions`)).data.slice(0, DIRECTIONS);
      let [wanted, busy] = [null, false];
      const sliders = directions.map((_, k) => slider(`${w("direction")} ${k + 1}`, { name: `direction-${k}`, min: -4, max: 4, step: 0.1, value: 0 }));
      const point = () => image.latent.map((x, i) => x + directions.reduce((sum, own, k) => sum + sliders[k].control.value * own.vector[i], 0));
      async function move() {
        wanted = point();
        if (busy) return;
        busy = true;
        try {
          while (wanted) {
            const latent = [wanted];
            wanted = null;
            const answer = await request({ latent, ...(image.class && { class: image.class }) });
            large.src = download.href = source(answer.data[0]);
            download.download = `${image.model}-point.png`;
          }
        } catch (error) {
          say(w("failed") + error.message);
        }
        busy = false;
      }
      for (const one of sliders) one.control.addEventListener("input", move);
      const back = h("button", { type: "button" }, w("reset"));
      back.addEventListener("click", () => {
        for (const one of sliders) one.set(0);
        move();
      });
      along.append(h("p", { class: "soft" }, w("alongHint")), ...sliders.map((one) => one.element), back);
    }
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
        const more = { through: [from.latent, to.latent], n: FRAMES, ...(to.class && { class: to.class }) };
        const answer = await post("/v1/images/interpolations", { model: model.value, ...more });
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
        large,
        h(
          "div",
          {},
          facts,
          h("p", { class: "row" }, download, keep, image.latent && walk),
          image.latent && h("div", { class: "row" }, h("div", {}, strength.element), vary),
          image.latent && along,
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

  /** What was dropped here: a picture of ours restores its settings, another one is looked for in the model. */
  async function restore(file) {
    const recipe = await recipeOf(file).catch(() => null);
    if (!recipe) return attempt(() => find(file));
    for (const one of models) {
      const { details } = await get(`/v1/models/${encodeURIComponent(one.id)}`);
      if (details.hash !== recipe.model_hash) continue;
      model.value = one.id;
      await choose();
      if (recipe.z) {
        await attempt(async () => {
          const answer = await request({ latent: [recipe.z], ...(recipe.class && { class: recipe.class }) });
          reveal({ ...answer.data[0], model: one.id, hash: answer.model_hash });
        });
        return say(w("restored"));
      }
      seed.value = recipe.seed;
      count.set(Math.min(64, Math.max(count.control.value, recipe.index + 1)));
      truncation.set(recipe.truncation);
      className.value = recipe.class ?? "";
      await attempt(() => paint(recipe.index));
      return say(w("restored"));
    }
    say(w("otherModel") + recipe.model);
  }

  /** The point of the model's space whose picture is most like a given one. */
  async function find(file) {
    say(w("searching"));
    const image = await shrunk(file).catch(() => Promise.reject(new Error(w("noPicture"))));
    const answer = await post("/v1/images/projections", { model: model.value, image });
    reveal({ ...answer.image, model: model.value, hash: answer.model_hash });
    say(`${w("found")} ${answer.levels.toFixed(0)} / 255`);
  }

  /** Shows a picture that is not in the gallery. */
  function reveal(image) {
    const list = h("ul", { class: "gallery" });
    const own = tile(list, image);
    list.append(own);
    gallery.replaceChildren(own);
    own.firstChild.click();
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
  className.addEventListener("change", () => attempt(() => paint()));
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
