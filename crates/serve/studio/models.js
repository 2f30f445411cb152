// The models: taken along as one file, deleted and brought back.
import { get, getBlob, post, remove } from "./api.js";
import { action, h } from "./dom.js";
import { empty } from "./runs.js";
import { w } from "./words.js";

/** The view. */
export async function showModels(main) {
  const [models, runs] = await Promise.all([get("/v1/models"), get("/v1/runs")]);
  if (!models.data.length) {
    main.append(empty(w("noModels"), w("noRunsHow"), "maliang demo"));
    return;
  }
  const ofRun = new Set(runs.data.map((run) => run.id));
  const undo = h("div", { "aria-live": "polite" });
  main.append(h("h1", {}, w("models")), h("p", { class: "soft" }, w("modelsIntro")), undo);
  main.append(h("ul", { class: "jobs" }, ...models.data.map((model) => row(model, ofRun.has(model.id), undo))));
}

function row(model, isRun, undo) {
  const path = encodeURIComponent(model.id);
  const date = new Date(model.created * 1000).toLocaleString(document.documentElement.lang);
  const use = model.makes === "text" ? ["write", w("writeIt")] : ["create", w("useIt")];
  const take = action(w("export"), async () => save(await getBlob(`/v1/models/${path}/file`), `${model.id}.safetensors`));
  const facts = h("span", { class: "soft" }, `${w(model.makes === "text" ? "texts" : "ofPictures")} · ${date}`);
  const item = h("li", {}, h("div", { class: "row" }, h("strong", {}, model.id), facts, h("a", { href: `#/${use[0]}/${path}` }, use[1]), take));
  if (isRun) item.firstChild.append(deleteButton(model.id, undo, () => (item.hidden = true), () => (item.hidden = false)));
  return item;
}

/** Saves a file as the browser saves files. */
export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Deletes a run; what it did is taken back by a button that appears in `place`. */
export function deleteButton(id, place, gone, back) {
  const path = `/v1/runs/${encodeURIComponent(id)}`;
  const button = action(w("delete"), async () => {
    await remove(path);
    gone();
    const restore = action(w("undo"), async () => {
      await post(`${path}/restore`, {});
      line.remove();
      button.disabled = false;
      back();
    }, { main: true });
    const line = h("p", { class: "problem row" }, h("span", {}, `${id}: ${w("deleted")}`), restore);
    place.append(line);
    restore.focus();
  }, { once: true });
  return button;
}
