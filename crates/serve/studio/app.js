// The page: which view, in which language, with which key.
import { KeyWanted, useKey } from "./api.js";
import { showCreate } from "./create.js";
import { field, h } from "./dom.js";
import { showJudge } from "./judge.js";
import { showLab } from "./lab.js";
import { showModels } from "./models.js";
import { showNew } from "./new.js";
import { showRun, showRuns } from "./runs.js";
import { applyWords, switchLanguage, w } from "./words.js";
import { showWrite } from "./write.js";

const main = document.getElementById("main");
let leaving = new AbortController();

/** Shows the view that the address names. */
async function show() {
  leaving.abort();
  const own = (leaving = new AbortController());
  const [view = "runs", name] = location.hash.replace(/^#\//, "").split("/").filter(Boolean).map(decodeURIComponent);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // Each view fills an element of its own: one that comes late fills one that nobody sees any more.
  const place = h("div", {});
  main.replaceChildren(place);
  try {
    if (view === "new") await showNew(place);
    else if (view === "create") await showCreate(place, name);
    else if (view === "judge") await showJudge(place);
    else if (view === "models") await showModels(place);
    else if (view === "lab") showLab(place, own.signal);
    else if (view === "write") await showWrite(place, name, own.signal);
    else if (name) await showRun(place, name, own.signal);
    else await showRuns(place, own.signal, show);
  } catch (error) {
    if (error instanceof KeyWanted) askForKey(place, error);
    else if (error.name !== "AbortError") place.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
  }
}

function askForKey(place, error) {
  const key = h("input", { type: "password", autocomplete: "current-password", required: true });
  const form = h("form", { class: "settings" }, field(error.message, key, { wide: true }), h("button", { class: "main" }, w("enter")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(key.value.trim());
    show();
  });
  const how = h("p", { class: "soft" }, w("keyHow"), " ", h("code", {}, "maliang keys add NAME"));
  place.replaceChildren(h("h1", {}, w("key")), form, how);
  key.focus();
}

document.getElementById("language").addEventListener("click", () => {
  switchLanguage();
  show();
});
addEventListener("hashchange", () => {
  show();
  main.focus();
});
applyWords();
show();
