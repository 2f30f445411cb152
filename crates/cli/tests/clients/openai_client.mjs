// What the openai client for Node makes of a server of ours. Usage: openai_client.mjs BASE_URL PICTURES TEXT PNG
// Prints what it saw as one JSON object, and writes the picture to PNG. The same as openai_client.py.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

// The package lies where the test says, not beside this file.
const require = createRequire(join(process.env.MALIANG_TEST_NODE_MODULES ?? ".", "anchor.js"));
const OpenAI = require("openai");

const [baseURL, pictures, text, png] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const seen = { models: [] };

for await (const model of client.models.list()) seen.models.push(model.id);
seen.models.sort();
seen.model = (await client.models.retrieve(pictures)).id;

const answer = await client.images.generate({ model: pictures, prompt: "", n: 2, size: "auto", seed: 7 });
seen.pictures = answer.data.length;
writeFileSync(png, Buffer.from(answer.data[0].b64_json, "base64"));

const ask = { model: text, prompt: "the moon", max_tokens: 12, seed: 3, temperature: 0.8 };
const whole = await client.completions.create(ask);
seen.text = whole.choices[0].text;
seen.reason = whole.choices[0].finish_reason;
seen.usage = whole.usage.total_tokens;
seen.streamed = "";
for await (const event of await client.completions.create({ ...ask, stream: true })) seen.streamed += event.choices[0].text;

const messages = [{ role: "user", content: "the moon" }];
const chat = { model: text, max_completion_tokens: 12, seed: 3, temperature: 0.8, messages };
seen.chat = (await client.chat.completions.create(chat)).choices[0].message.content;
seen["chat streamed"] = "";
for await (const event of await client.chat.completions.create({ ...chat, stream: true })) {
  seen["chat streamed"] += event.choices[0].delta.content ?? "";
}

async function problem(make) {
  try {
    await make();
  } catch (error) {
    return [error.status, error.param, error.type];
  }
  return "no error";
}
seen["bad n"] = await problem(() => client.images.generate({ model: pictures, prompt: "", n: 0 }));
seen["bad model"] = await problem(() => client.completions.create({ model: "none", prompt: "" }));
console.log(JSON.stringify(seen));
