// Training a new model: what on, what the check finds, how long.
import { get, post, send } from "./api.js";
import { field, h, say, slider } from "./dom.js";
import { w } from "./words.js";

/** Groups of built-in pictures that are worth a first try. */
const BUILT_IN = ["emoji:smileys", "emoji:animals", "emoji:food"];
const MINUTES = [1, 2, 5, 10, 20, 30, 60, 120, 240, 480];

/** The view. */
export async function showNew(main) {
  const source = h("select", { name: "source" });
  const file = h("input", { type: "file", accept: ".zip,.txt,.md,.jsonl", id: "file", class: "hidden" });
  const drop = h("label", { class: "drop", for: "file" }, w("dropData"));
  const found = h("section", { "aria-live": "polite" });
  const minutes = slider(w("minutes"), { name: "minutes", min: 0, max: MINUTES.length - 1, value: 3 });
  const shown = () => (minutes.element.querySelector("output").textContent = MINUTES[+minutes.control.value]);
  minutes.control.addEventListener("input", shown);
  shown();
  const start = h("button", { class: "main" }, w("train"));
  const form = h("form", { class: "settings" }, field(w("data"), source), minutes.element, h("div", { class: "row" }, start));
  main.append(h("h1", {}, w("newRun")), drop, file, form, found);

  async function list(chosen) {
    const sent = (await get("/v1/data")).data.map((one) => one.id);
    source.replaceChildren(...[...sent, ...BUILT_IN].map((id) => h("option", {}, id)));
    if (chosen) source.value = chosen;
  }

  let looking = 0;
  /** What the check says of the chosen data. */
  async function look() {
    const own = ++looking;
    start.disabled = true;
    found.replaceChildren(h("p", { class: "soft" }, w("looking")));
    try {
      const report = await get(`/v1/data/${encodeURIComponent(source.value)}/check`);
      if (own !== looking) return;
      found.replaceChildren(...describe(report));
      start.disabled = false;
    } catch (error) {
      if (own === looking) found.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  function describe(report) {
    const facts = h("dl", { class: "facts" });
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

  async function take(chosen) {
    if (!chosen) return;
    drop.textContent = `${chosen.name} …`;
    try {
      const sent = await send(`/v1/data/${encodeURIComponent(chosen.name)}`, chosen);
      await list(sent.id);
      await look();
    } catch (error) {
      say(w("failed") + error.message);
    } finally {
      drop.textContent = w("dropData");
    }
  }

  file.addEventListener("change", () => take(file.files[0]));
  main.addEventListener("dragover", (event) => event.preventDefault());
  main.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  source.addEventListener("change", look);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    start.disabled = true;
    try {
      await post("/v1/jobs", { source: source.value, minutes: MINUTES[+minutes.control.value] });
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
    const where = job.state === "queued" ? `${w("queued")} (${job.position + 1})` : w(job.state) + left;
    const link = h("a", { href: `#/runs/${encodeURIComponent(job.run)}` }, job.run);
    const name = job.state === "running" ? link : h("strong", {}, job.run);
    const error = job.said.findLast((line) => line.startsWith("error: "));
    const end = h("button", { type: "button" }, w(job.state === "running" ? "halt" : "cancel"));
    end.addEventListener("click", async () => {
      end.disabled = true;
      await post(`/v1/jobs/${job.id}/cancel`, {}).catch((error) => say(w("failed") + error.message));
      update();
    });
    const more = job.said.length && job.state !== "failed" ? h("details", {}, h("summary", {}, w("chosen")), h("pre", {}, job.said.join("\n"))) : null;
    return h("li", {}, h("div", { class: "row" }, name, h("span", { class: "soft" }, where), job.state === "failed" ? null : end),
      job.state === "failed" ? h("p", { class: "problem" }, error ?? job.said.at(-1) ?? "") : more);
  }
  await update();
  const timer = setInterval(update, 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
  return place;
}
