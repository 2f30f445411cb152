// Scores of all runs side by side, each beside what real pictures score against each other.
import { get, post } from "./api.js";
import { action, h, say } from "./dom.js";
import { empty } from "./runs.js";
import { scoreOf } from "./scores.js";
import { w } from "./words.js";

const round = (x) => (Math.abs(x) >= 100 ? x.toFixed(0) : String(+x.toPrecision(3)));
/** Scores of pictures that are shown, by what they are multiplied, and whether lower is better. */
const SHOWN = [["kid", 1000, " × 1000", true], ["precision", 1, ""], ["recall", 1, ""], ["coverage", 1, ""]];

/** The view. */
export async function showJudge(main) {
  const runs = (await get("/v1/runs")).data;
  if (!runs.length) {
    main.append(empty(w("noRuns"), w("noRunsHow"), "maliang demo"));
    return;
  }
  const judged = await Promise.all(
    runs.filter((run) => run.judged).map(async (run) => ({ run, scores: await get(`/v1/runs/${encodeURIComponent(run.id)}/scores`).catch(() => null) })),
  );
  const known = judged.filter((one) => one.scores);
  main.append(h("h1", {}, w("judge")), h("p", { class: "soft" }, w("judgeIntro")));
  const pictures = known.filter((one) => one.scores.scores);
  // Scores of different extractors and numbers of pictures cannot be compared: a table each.
  const groups = Map.groupBy(pictures, ({ scores }) => `${scores.extractor}, n = ${scores.n}`);
  for (const [name, list] of groups) main.append(h("h2", {}, `${w("ofPictures")} · ${name}`), pictureTable(list));
  const texts = known.filter((one) => one.scores.heldout);
  if (texts.length) main.append(h("h2", {}, w("texts")), textTable(texts));
  const others = runs.filter((run) => !run.judged);
  if (others.length) {
    main.append(h("h2", {}, w("notJudged")), h("ul", { class: "jobs" }, ...others.map((run) =>
      h("li", {}, h("div", { class: "row" }, link(run), h("span", {}), judgeButton(run))))));
  }
}

const link = (run) => h("a", { href: `#/runs/${encodeURIComponent(run.id)}` }, run.id);

/** Has the server judge a run. */
export function judgeButton(run) {
  const work = async () => {
    await post("/v1/jobs", { task: "judge", run: run.id });
    say(w("judging"));
  };
  return action(w(run.judged ? "judgeAgain" : "judgeIt"), work, { once: true });
}

function table(heads, rows) {
  const head = h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)));
  return h("div", { class: "wide-table", tabindex: 0, role: "region", "aria-label": w("judge") }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)));
}

function pictureTable(list) {
  const value = ({ scores }) => scoreOf(scores.scores, "kid")?.value ?? Infinity;
  list.sort((a, b) => value(a) - value(b));
  const cell = (score, times, lower) => {
    if (!score) return h("td", {}, "–");
    const range = score.low == null ? "" : `${round(score.low * times)} – ${round(score.high * times)}`;
    return h("td", {}, h("strong", {}, round(score.value * times)), h("small", {}, range), h("small", {}, `${w(lower ? "floor" : "ceiling")} ${round(score.floor * times)}`));
  };
  const rows = list.map(({ run, scores }) =>
    h("tr", {}, h("th", { scope: "row" }, link(run)), ...SHOWN.map(([name, times, , lower]) => cell(scoreOf(scores.scores, name), times, lower)), verdicts(scores.copying, scores.collapse)));
  return table([w("run"), ...SHOWN.map(([name, , unit, lower]) => `${w(name)}${unit} ${lower ? "↓" : "↑"}`), w("verdict")], rows);
}

function textTable(list) {
  const value = ({ scores }) => scores.heldout.bits_per_byte.value;
  list.sort((a, b) => value(a) - value(b));
  const rows = list.map(({ run, scores }) => {
    const { bits_per_byte: bits, ngram_bits_per_byte: ngram } = scores.heldout;
    return h("tr", {}, h("th", { scope: "row" }, link(run)),
      h("td", {}, h("strong", {}, round(bits.value)), h("small", {}, `${round(bits.low)} – ${round(bits.high)}`)),
      h("td", {}, round(ngram)), verdicts(scores.copying, scores.variety));
  });
  return table([w("run"), w("bits"), w("ngram"), w("verdict")], rows);
}

/** What the report says of copies and of variety, in its own words. */
function verdicts(...parts) {
  return h("td", { class: "words" }, ...parts.filter(Boolean).map((part) => h("p", {}, part.words)));
}
