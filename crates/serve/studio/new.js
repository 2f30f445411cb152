// Training a new model: what on, what the check finds, how long.
import { get, post, remove, send } from "./api.js";
import { action, field, h, say, slider } from "./dom.js";
import { w, wordOr } from "./words.js";
import { filesOf, zipped } from "./zip.js";

/** Groups of built-in pictures that are worth a first try. */
const BUILT_IN = ["emoji:smileys", "emoji:animals", "emoji:food"];
/** Sides of pictures. */
const SIDES = [32, 64, 96, 128];
const MINUTES = [1, 2, 5, 10, 20, 30, 60, 120, 240, 480];

const option = (value, text) => h("option", { value }, text);

/** The view. */
export async function showNew(main) {
  const { families } = await get("/version");
  const source = h("select", { name: "source" });
  const file = h("input", { type: "file", accept: "image/*,.zip,.txt,.md,.jsonl", multiple: true, id: "file", class: "hidden" });
  const drop = h("label", { class: "drop", for: "file" }, w("dropData"));
  const found = h("section", { "aria-live": "polite" });
  const minutes = slider(w("minutes"), { name: "minutes", min: 0, max: MINUTES.length - 1, value: 3 });
  const shown = () => (minutes.element.querySelector("output").textContent = MINUTES[+minutes.control.value]);
  minutes.control.addEventListener("input", shown);
  shown();
  const family = h("select", { name: "family", "aria-describedby": "families" });
  const summaries = h("dl", { class: "facts families", id: "families" });
  const side = h("select", { name: "side" }, option("", w("auto")), ...SIDES.map((side) => option(side, `${side} × ${side}`)));
  const sideField = field(w("side"), side);
  const start = h("button", { class: "main" }, w("train"));
  const removal = action(w("delete"), async () => {
    await remove(`/v1/data/${encodeURIComponent(source.value)}`);
    say(`${source.value}: ${w("gone")}`);
    await list();
    await look();
  });

  /** Files that may be deleted: folders of the server stay. */
  let files = new Set();
  const form = h("form", { class: "settings" }, field(w("data"), source), minutes.element, field(w("family"), family), sideField,
    summaries, h("div", { class: "row" }, start, removal));
  const planned = h("section", { "aria-live": "polite" });
  main.append(h("h1", {}, w("newRun")), drop, file, form, found, planned);

  /** What is asked for beside the data. */
  const choices = () => ({
    minutes: MINUTES[+minutes.control.value],
    ...(family.value && { model: family.value }),
    ...(side.value && !sideField.hidden && { size: side.value }),
  });

  /** Families of the kind of data that was found. */
  function offer(kind) {
    const before = family.value;
    const own = families.filter((one) => one.makes === kind);
    family.replaceChildren(option("", w("auto")), ...own.map(({ name }) => option(name, name)));
    if (own.some(({ name }) => name === before)) family.value = before;
    const summary = (one) => wordOr(`family-${one.name}`, one.summary);
    summaries.replaceChildren(...own.flatMap((one) => [h("dt", {}, one.name), h("dd", {}, summary(one))]));
    sideField.hidden = kind === "text";
  }

  let planning = 0;
  /** What would be chosen, and why. */
  async function plan() {
    const own = ++planning;
    planned.setAttribute("aria-busy", "true");
    try {
      const answer = await post(`/v1/data/${encodeURIComponent(source.value)}/plan`, choices());
      if (own !== planning) return;
      planned.replaceChildren(h("h2", {}, w("willChoose")), h("pre", { class: "sheet plan" }, answer.said.join("\n")));
      start.disabled = false;
    } catch (error) {
      if (own !== planning) return;
      planned.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
      start.disabled = true;
    }
    planned.removeAttribute("aria-busy");
  }

  async function list(chosen) {
    const sources = (await get("/v1/data")).data;
    const sent = sources.map((one) => one.id);
    files = new Set(sources.filter((one) => one.bytes != null).map((one) => one.id));
    source.replaceChildren(...[...sent, ...BUILT_IN].map((id) => h("option", {}, id)));
    if (chosen) source.value = chosen;
  }

  let looking = 0;
  /** What the check says of the chosen data. */
  async function look() {
    const own = ++looking;
    planning += 1; // an answer about the data chosen before is not wanted any more
    start.disabled = true;
    planned.replaceChildren();
    planned.removeAttribute("aria-busy");
    removal.hidden = !files.has(source.value);
    found.replaceChildren(h("p", { class: "soft" }, w("looking")));
    try {
      const report = await get(`/v1/data/${encodeURIComponent(source.value)}/check`);
      if (own !== looking) return;
      found.replaceChildren(...describe(report));
      offer(report.usable === undefined ? "text" : "pictures");
      await plan();
    } catch (error) {
      if (own === looking) found.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  function describe(report) {
    const facts = h("dl", { class: "facts", id: "checked" });
    const fact = (name, value) => value && facts.append(h("dt", {}, name), h("dd", {}, String(value)));
    fact(w("pictures"), report.usable);
    fact(w("distinct"), report.usable && report.distinct !== report.usable && report.distinct);
    fact(w("shorterSide"), report.shorter_side?.median && `${report.shorter_side.median} px`);
    fact(w("className"), report.labels?.map(([name, count]) => `${name} (${count})`).join(", "));
    fact(w("rejected"), report.rejects?.length);
    fact(w("documents"), report.documents);
    fact(w("characters"), report.found?.characters?.toLocaleString());
    const notes = report.notes ?? [];
    return [h("h2", {}, w("checked")), facts, notes.length ? h("ul", {}, ...notes.map((note) => h("li", {}, note))) : ""];
  }

  /** Takes what was dropped: files, folders, or both. */
  async function takeDropped(transfer) {
    // The list of items is empty as soon as anything is waited for.
    const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
    const loose = [...transfer.files].filter((_, i) => !entries[i]?.isDirectory).map((file) => [file.name, file]);
    const folders = entries.filter((entry) => entry?.isDirectory);
    const one = folders.length === 1 && !loose.length;
    const inside = await Promise.all(folders.map((entry) => filesOf(entry, one ? "" : `${entry.name}/`)));
    await take([...loose, ...inside.flat()], folders[0]?.name);
  }

  /** Sends files, as `[path, File]` pairs: one that is a source as it is, everything else packed into one .zip. */
  async function take(files, folder) {
    if (!files.length) return;
    const [[, first]] = files;
    try {
      let chosen = first;
      if (folder || files.length > 1 || first.type.startsWith("image/")) {
        drop.textContent = `${files.length} …`;
        const name = folder ?? `${w("myPictures")} ${new Date().toISOString().slice(0, 16).replace("T", " ").replace(":", "-")}`;
        chosen = new File([await zipped(apart(files))], `${name}.zip`);
      }
      drop.textContent = `${chosen.name} …`;
      const sent = await send(`/v1/data/${encodeURIComponent(chosen.name)}`, chosen);
      await list(sent.id);
      await look();
    } catch (error) {
      say(w("failed") + error.message);
    } finally {
      drop.textContent = w("dropData");
      file.value = "";
    }
  }

  /** Files with names of their own: a phone calls every photograph image.jpg. */
  function apart(files) {
    const taken = new Set();
    return files.map(([path, file]) => {
      let own = path;
      for (let i = 2; taken.has(own); i++) own = path.replace(/(\.[^./]*)?$/, ` ${i}$1`);
      taken.add(own);
      return [own, file];
    });
  }

  file.addEventListener("change", () => take([...file.files].map((one) => [one.name, one])));
  main.addEventListener("dragover", (event) => event.preventDefault());
  main.addEventListener("drop", (event) => {
    event.preventDefault();
    takeDropped(event.dataTransfer).catch((error) => say(w("failed") + error.message));
  });
  source.addEventListener("change", look);
  for (const control of [minutes.control, family, side]) control.addEventListener("change", plan);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    start.disabled = true;
    try {
      await post("/v1/jobs", { source: source.value, ...choices() });
      location.hash = "#/runs";
    } catch (error) {
      start.disabled = false;
      say(w("failed") + error.message);
    }
  });
  await list();
  await look();
}

/** The jobs that wait or train, as a list that keeps itself up to date until `signal`. */
export async function jobList(signal, onEnd) {
  const place = h("div", {});
  let before = null;
  async function update() {
    const jobs = (await get("/v1/jobs").catch(() => ({ data: [] }))).data;
    const open = jobs.filter((job) => ["queued", "running"].includes(job.state));
    const failed = jobs.filter((job) => job.state === "failed").slice(0, 3);
    if (before !== null && open.length < before) onEnd();
    before = open.length;
    place.replaceChildren(...(open.length + failed.length ? [h("h2", {}, w("jobs")), table([...open, ...failed])] : []));
  }
  function table(jobs) {
    return h("ul", { class: "jobs" }, ...jobs.map(row));
  }
  function row(job) {
    const left = job.eta == null ? "" : ` · ${w("left")} ${Math.ceil(job.eta / 60)} min`;
    const task = job.request.task === "train" ? w("running") : w(`task-${job.request.task}`);
    const where = job.state === "queued" ? `${task}: ${w("queued")} (${job.position + 1})` : job.state === "failed" ? w("failedJob") : task + left;
    const link = h("a", { href: `#/runs/${encodeURIComponent(job.run)}` }, job.run);
    const name = job.state === "running" ? link : h("strong", {}, job.run);
    const error = job.said.findLast((line) => line.startsWith("error: "));
    const end = h("button", { type: "button" }, w(job.state === "running" ? "halt" : "cancel"));
    end.addEventListener("click", async () => {
      end.disabled = true;
      await post(`/v1/jobs/${job.id}/cancel`, {}).catch((error) => say(w("failed") + error.message));
      update();
    });
    const more = job.said.length && job.request.task === "train" && job.state !== "failed" ? h("details", {}, h("summary", {}, w("chosen")), h("pre", {}, job.said.join("\n"))) : null;
    return h("li", {}, h("div", { class: "row" }, name, h("span", { class: "soft" }, where), job.state === "failed" ? null : end),
      job.state === "failed" ? h("p", { class: "problem" }, error ?? job.said.at(-1) ?? "") : more);
  }
  await update();
  const timer = setInterval(update, 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
  return place;
}
