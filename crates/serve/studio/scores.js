// Names of scores, as crates/core/src/judge/score_name.rs writes them: the metric comes first, then what it was computed on.

/** What a look in a run's log holds besides its scores; see crates/core/src/run/log.rs. */
const OTHERS = new Set(["event", "step", "images", "tokens", "seconds", "best", "diversity"]);

/** Is this a score in a look? */
export const isScore = (name, value) => !OTHERS.has(name) && typeof value === "number";

/** The score of a metric, for example `kid`, in the scores of a judgement. */
export const scoreOf = (scores, metric) => scores.find(({ name }) => name.startsWith(`${metric}_`));
