// Text: a beginning goes on, in several ways side by side.
import { get, postForBlob, written } from "./api.js";
import { action, field, h, say, slider } from "./dom.js";
import { empty } from "./runs.js";
import { w } from "./words.js";

/** Does it look like ABC notation, with a key and notes behind it? */
const isTune = (text) => /^K:.*\n.*[A-Ga-g]/m.test(text);

/** A button that has the tune played. */
function offerToPlay(part, model) {
  const play = async () => {
    const sound = await postForBlob("/v1/music", { model, recipe: part.recipe });
    const player = h("audio", { controls: true, src: URL.createObjectURL(sound) });
    part.sound.replaceChildren(player);
    player.play().catch(() => {});
  };
  part.sound.replaceChildren(action(w("listen"), play));
}

/** The view; `wanted` is a model by name, or nothing. Writing ends when `signal` says that the view is left. */
export async function showWrite(main, wanted, signal) {
  const models = (await get("/v1/models")).data.filter((model) => model.makes === "text");
  if (!models.length) {
    main.append(empty(w("noText"), w("noRunsHow"), "maliang train poems.txt"));
    return;
  }
  const model = h("select", { name: "model" }, ...models.map((one) => h("option", {}, one.id)));
  if (models.some((one) => one.id === wanted)) model.value = wanted;
  const prompt = h("textarea", { name: "prompt", rows: 3, placeholder: w("promptHint") });
  const temperature = slider(w("temperature"), { name: "temperature", min: 0, max: 1.5, step: 0.05, value: 0.8 });
  const pieces = slider(w("pieces"), { name: "pieces", min: 1, max: 4, value: 2 });
  const tokens = slider(w("tokens"), { name: "tokens", min: 20, max: 2000, step: 20, value: 300 });
  const stop = h("input", { type: "text", name: "stop" });
  const go = h("button", { class: "main" }, w("go"));
  const halt = h("button", { type: "button", disabled: true }, w("halt"));
  const form = h(
    "form",
    { class: "settings" },
    field(w("prompt"), prompt, { wide: true }),
    field(w("model"), model),
    temperature.element,
    pieces.element,
    tokens.element,
    field(w("stop"), stop),
    h("div", { class: "row" }, go, halt),
  );
  const sheets = h("div", { class: "pieces", "aria-live": "polite" });
  main.append(h("h1", {}, w("write")), form, sheets);

  let work = null;
  signal.addEventListener("abort", () => work?.abort());
  halt.addEventListener("click", () => work?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    work?.abort();
    const own = (work = new AbortController());
    go.disabled = true;
    halt.disabled = false;
    const parts = Array.from({ length: +pieces.control.value }, () => {
      const text = document.createTextNode("");
      const pre = h("pre", {}, h("span", { class: "prompt" }, prompt.value), text);
      const label = h("p", { class: "label" });
      const copy = h("button", { type: "button" }, w("copy"));
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(`${pre.textContent}\n\n${label.textContent}`);
        say(w("copied"));
      });
      const sound = h("div", {});
      const sheet = h("article", { class: "piece", "aria-busy": "true" }, pre, label, copy, sound);
      return { text, label, sheet, sound, whole: () => pre.textContent };
    });
    sheets.replaceChildren(...parts.map((part) => part.sheet));
    const body = {
      model: model.value,
      prompt: prompt.value,
      n: parts.length,
      max_tokens: +tokens.control.value,
      temperature: +temperature.control.value,
      ...(stop.value && { stop: stop.value.replaceAll("\\n", "\n") }),
    };
    try {
      for await (const choice of written(body, own.signal)) {
        const part = parts[choice.index];
        part.text.data += choice.text;
        if (choice.label) {
          const { request, index } = choice.label.recipe;
          const { seed } = request;
          part.recipe = choice.label.recipe;
          part.label.textContent = `AI生成 AI-generated · ${body.model} · ${w("seed")} ${seed} · ${w("index")} ${index}`;
        }
        if (choice.finish_reason) {
          part.sheet.setAttribute("aria-busy", "false");
          if (isTune(part.whole())) offerToPlay(part, body.model);
        }
      }
    } catch (error) {
      if (error.name !== "AbortError") say(w("failed") + error.message);
    } finally {
      if (work === own) {
        go.disabled = false;
        halt.disabled = true;
      }
    }
  });
}
