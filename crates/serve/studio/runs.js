// What was trained, and what is being trained.
import { events, get, getBlob, getText, post } from "./api.js";
import { chart } from "./chart.js";
import { action, duration, h } from "./dom.js";
import { judgeButton } from "./judge.js";
import { deleteButton } from "./models.js";
import { jobList } from "./new.js";
import { isScore } from "./scores.js";
import { w } from "./words.js";

/** What the first try is trained on: built in, and recognisable after minutes. */
const DEMO = "emoji:smileys";

const score = (best) => (best ? `${+best.score.toPrecision(4)}` : w("notJudged"));

/** The score of a run that was judged, beside what it is to be compared with. */
function judgement({ judged, makes }) {
  if (!judged) return null;
  const [name, times] = makes === "text" ? [w("bits"), 1] : [`${w("kid")} × 1000`, 1000];
  const number = (x) => +(x * times).toPrecision(3);
  return `${name} ${number(judged.value)} (${w(makes === "text" ? "ngram" : "floor")} ${number(judged.beside)})`;
}

/** All runs as cards. */
export async function showRuns(main, signal, again) {
  const runs = (await get("/v1/runs")).data;
  const jobs = await jobList(signal, again);
  if (!runs.length) {
    main.append(jobs, empty(w("noRuns"), w("noRunsHow"), "maliang demo"));
    return;
  }
  runs.sort((a, b) => b.updated - a.updated);
  const list = h("ul", { class: "cards" });
  for (const run of runs) {
    const thumb = run.makes === "pictures" ? h("img", { class: "thumb", alt: "" }) : h("div", { class: "thumb" });
    fill(run, run.samples.at(-1), thumb);
    const facts = `${run.step.toLocaleString()} ${w("steps")} · ${duration(run.seconds)} · ${judgement(run) ?? score(run.best)}`;
    const text = h("div", { class: "text" }, h("strong", {}, run.id), h("span", { class: "soft" }, facts));
    if (run.training) text.append(" ", h("span", { class: "tag live" }, w("training")));
    list.append(h("li", {}, h("a", { class: "card", href: `#/runs/${encodeURIComponent(run.id)}` }, thumb, text)));
  }
  main.append(h("h1", {}, w("runs")), jobs, list);
}

/** A page of a view that has nothing yet, with the ways to something: one's own data, built-in pictures, the command line. */
export function empty(title, how, command) {
  const demo = action(w("tryDemo"), async () => {
    await post("/v1/jobs", { source: DEMO, minutes: 5 });
    if (location.hash === "#/runs") dispatchEvent(new Event("hashchange"));
    else location.hash = "#/runs";
  });
  const own = h("a", { class: "button main", href: "#/new" }, w("useOwn"));
  return h("section", { class: "empty" }, h("h1", {}, title), h("p", { class: "row" }, own, demo),
    h("p", { class: "soft" }, how), h("p", {}, h("code", {}, command)));
}

/** Puts the samples of a step into an element. */
async function fill(run, step, element) {
  if (step === undefined) return;
  const path = `/v1/runs/${encodeURIComponent(run.id)}/samples/${step}`;
  if (run.makes === "text") {
    element.textContent = await getText(path).catch(() => "");
    return;
  }
  const blob = await getBlob(path).catch(() => null);
  if (!blob) return;
  URL.revokeObjectURL(element.src);
  element.src = URL.createObjectURL(blob);
}

/** The run; one that a job is about to begin is waited for. */
async function begun(main, id, path, signal) {
  for (;;) {
    const known = (await get("/v1/runs")).data.some((run) => run.id === id);
    const jobs = known ? [] : (await get("/v1/jobs").catch(() => ({ data: [] }))).data;
    const awaited = jobs.some((job) => job.run === id && ["queued", "running"].includes(job.state));
    if (!awaited || signal.aborted) {
      const run = await get(path);
      main.replaceChildren();
      return run;
    }
    main.replaceChildren(h("h1", {}, id), h("p", { class: "soft" }, w("begins")));
    await new Promise((done) => setTimeout(done, 1000));
  }
}

/** Buttons for the pages that there are of a run. */
function pagesOf(run, path) {
  // Pages by their own addresses, which keep them apart from this one; a new tab sends no key, so the links are signed.
  const page = (name) => action(w(name), async () => window.open(run.pages[name], "_blank", "noopener"));
  const card = () => action(w("card"), async () => window.open(URL.createObjectURL(await getBlob(`${path}/card`)), "_blank", "noopener"));
  return [run.pages?.report && page("report"), run.judged && card(), run.pages?.explanation && page("explanation")].filter(Boolean);
}

/** What can be done with a run: stop it where a job trains it; else go on, judge, explain, delete. Keeps up with the jobs. */
async function keepAtWork(place, run, undo, refresh, signal) {
  const longer = h("select", { "aria-label": w("longer") }, ...[5, 10, 30, 60].map((more) => h("option", { value: more }, `+ ${more} ${w("minutes")}`)));
  const does = (text, work) => action(text, () => work().then(update), { once: true });
  let before = null;
  async function update() {
    const jobs = (await get("/v1/jobs").catch(() => ({ data: [] }))).data;
    const job = jobs.find((job) => job.run === run.id && ["queued", "running"].includes(job.state));
    const now = job ? `${job.id} ${job.state}` : "";
    if (job?.eta != null && now === before) place.querySelector(".soft").textContent = `${w("left")} ${duration(job.eta)}`;
    if (now === before || signal.aborted) return;
    if (before) refresh();
    before = now;
    if (job) {
      const state = job.state === "queued" ? w("queued") : w(job.request.task === "train" ? "running" : `task-${job.request.task}`);
      const left = h("span", { class: "soft" });
      place.replaceChildren(h("span", { class: "tag live" }, state), left, does(w(job.state === "running" ? "halt" : "cancel"), () => post(`/v1/jobs/${job.id}/cancel`, {})));
      return;
    }
    const goOn = does(w("goOn"), () => post("/v1/jobs", { resume: run.id, minutes: Math.ceil(run.seconds / 60) + +longer.value }));
    const explain = run.makes === "pictures" && does(w("explainIt"), () => post("/v1/jobs", { task: "explain", run: run.id }));
    place.replaceChildren(goOn, longer, judgeButton(run), ...(explain ? [explain] : []), deleteButton(run.id, undo, () => (place.hidden = true), () => (place.hidden = false)));
  }
  await update();
  const timer = setInterval(update, 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

/** One run: curves that grow, one slider through all samples. */
export async function showRun(main, id, signal) {
  const path = `/v1/runs/${encodeURIComponent(id)}`;
  const run = await begun(main, id, path, signal);
  const use = run.makes === "text" ? ["write", w("writeIt")] : ["create", w("useIt")];
  const pages = h("span", { class: "row" });
  const work = h("p", { class: "row" });
  const undo = h("div", { "aria-live": "polite" });
  const facts = h("dl", { class: "facts" });
  const fact = (name, value) => value && facts.append(h("dt", {}, name), h("dd", {}, value));
  fact(w("family"), run.settings?.model?.family);
  fact(w("data"), run.settings?.data?.source ?? run.settings?.corpus?.source);
  const trained = h("dd", {});
  facts.append(h("dt", {}, w("trained")), trained);
  const best = h("dd", {});
  facts.append(h("dt", {}, w("best")), best);
  const update = (run) => {
    trained.textContent = `${run.step.toLocaleString()} ${w("steps")}, ${duration(run.seconds)}`;
    if (run.training) trained.append(" ", h("span", { class: "tag live" }, w("training")));
    pages.replaceChildren(...pagesOf(run, path));
    best.textContent = run.best ? `${score(run.best)} · ${w("step")} ${run.best.step.toLocaleString()}` : w("notJudged");
  };
  update(run);
  const curves = h("div", {});
  const samples = h("div", {});
  const notes = h("div", {});
  main.append(
    h("p", {}, h("a", { href: "#/runs" }, `‹ ${w("back")}`)),
    h("h1", {}, run.id),
    facts,
    h("p", { class: "row" }, h("a", { href: `#/${use[0]}/${encodeURIComponent(id)}` }, use[1]), pages),
    work,
    undo,
    samples,
    curves,
    notes,
  );
  let slider;
  const sheet = run.makes === "pictures" ? h("img", { class: "sheet", alt: w("samples") }) : h("pre", { class: "sheet" });
  const place = h("output", {});
  const showSamples = (run) => {
    if (!run.samples.length) return;
    const last = run.samples.length - 1;
    const follow = !slider || +slider.value === +slider.max;
    if (!slider) {
      slider = h("input", { type: "range", min: 0, "aria-label": w("samples") });
      samples.append(h("h2", {}, w("samples"), " ", place), slider, sheet);
    }
    slider.max = last;
    const turn = () => {
      const step = run.samples[+slider.value];
      place.textContent = `${w("step")} ${step.toLocaleString()}`;
      slider.setAttribute("aria-valuetext", place.textContent);
      fill(run, step, sheet);
    };
    slider.oninput = turn;
    if (follow) {
      slider.value = last;
      turn();
    }
  };
  showSamples(run);
  keepAtWork(work, run, undo, refresh, signal);
  if (run.notes?.length) notes.append(h("h2", {}, w("notes")), h("ul", {}, ...run.notes.map((note) => h("li", {}, note))));

  const log = { scores: new Map(), losses: new Map() };
  let due = false;
  const redraw = () => {
    due = false;
    curves.replaceChildren();
    const add = (title, map, options) => {
      if (!map.size) return;
      const series = [...map].map(([name, points]) => ({ name, points }));
      curves.append(h("h2", {}, title), chart(series, { label: title, ...options }));
    };
    add(w("scores"), log.scores, { log: run.makes === "pictures" });
    add(w("losses"), log.losses, {});
  };
  const put = (map, name, step, value) => {
    if (!map.has(name)) map.set(name, []);
    map.get(name).push([step, value]);
  };
  let refreshing = false;
  async function refresh() {
    if (refreshing) return;
    refreshing = true;
    // The samples of a look are written just before it is logged.
    const now = await get(path).catch(() => null);
    refreshing = false;
    if (now && !signal.aborted) {
      Object.assign(run, now);
      update(now);
      showSamples(now);
    }
  }

  try {
    for await (const data of events(`${path}/events`, { signal })) {
      const event = JSON.parse(data);
      for (const [name, value] of Object.entries(event)) {
        if (event.event === "look" && isScore(name, value)) put(log.scores, name, event.step, value);
        if (event.event === "step" && /loss|elbo|nats|bits/.test(name)) put(log.losses, name, event.step, value);
      }
      if (event.event === "look" && run.training) refresh();
      if (!due) {
        due = true;
        setTimeout(redraw, 300);
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}
