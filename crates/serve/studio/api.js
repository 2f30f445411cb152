// The server's API. A problem becomes an Error with the server's own sentence.
import { w } from "./words.js";

let key = sessionStorage.getItem("key") ?? "";

/** The server wants a key, or another one. */
export class KeyWanted extends Error {}

/** From now on this key is sent. */
export function useKey(value) {
  key = value;
  sessionStorage.setItem("key", value);
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (options.body) headers["Content-Type"] ??= "application/json";
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(w("offline"));
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => null);
  const message = problem?.error?.message ?? answer.statusText;
  throw answer.status === 401 ? new KeyWanted(message) : new Error(message);
}

export const get = async (path) => (await ask(path)).json();
export const getText = async (path) => (await ask(path)).text();
export const getBlob = async (path) => (await ask(path)).blob();
const sent = (path, body, signal) => ask(path, { method: "POST", body: JSON.stringify(body), signal });
export const post = async (path, body, signal) => (await sent(path, body, signal)).json();
export const postForBlob = async (path, body) => (await sent(path, body)).blob();
export const remove = async (path) => (await ask(path, { method: "DELETE" })).json();

/** Sends a file as it is. */
export const send = async (path, file) =>
  (await ask(path, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } })).json();

/** The data of server-sent events, as they come. */
export async function* events(path, options) {
  const answer = await ask(path, options);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop();
      for (const part of parts) {
        const line = part.split("\n").find((line) => line.startsWith("data: "));
        if (line) yield line.slice(6);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Text as it is written; ends with the stream. */
export async function* written(body, signal) {
  const request = { method: "POST", body: JSON.stringify({ ...body, stream: true }), signal };
  for await (const data of events("/v1/completions", request)) {
    // Read to the end: who leaves before it breaks the connection.
    if (data === "[DONE]") continue;
    const event = JSON.parse(data);
    if (event.error) throw new Error(event.error.message);
    yield* event.choices;
  }
}
