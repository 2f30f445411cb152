// The API as people read it, from /openapi.json.
import { h } from "./dom.js";

const main = document.getElementById("main");
const description = await (await fetch("/openapi.json")).json();

/** The schema behind a reference. */
function schema(one) {
  const name = one?.$ref?.split("/").at(-1);
  return name ? { name, ...description.components.schemas[name] } : (one ?? {});
}

/** What a value may be, in a few words. */
function kind(one) {
  const found = schema(one);
  if (found.name) return found.name;
  const either = found.oneOf ?? found.anyOf;
  if (either) return either.map(kind).filter((word) => word !== "null").join(" or ");
  if (found.type === "array" || found.type?.includes?.("array")) return `list of ${kind(found.items)}`;
  return [found.type].flat().filter((word) => word && word !== "null").join(" or ") || "any";
}

/** Values of an enumeration, whichever way it is written down. */
const words = (found) => found.enum ?? found.oneOf?.flatMap((one) => one.enum ?? []) ?? [];

/** The fields of an object as a table. */
function fields(found) {
  const parts = [found, ...(found.allOf ?? []).map(schema)];
  const rows = parts.flatMap((part) =>
    Object.entries(part.properties ?? {}).map(([name, one]) => {
      const own = schema(one.oneOf?.find((either) => either.$ref) ?? one);
      const values = words(own).map((value) => JSON.stringify(value)).join(", ");
      const text = [one.description ?? own.description, values].filter(Boolean).join(" ");
      const wanted = part.required?.includes(name) ? " *" : "";
      return h("tr", {}, h("th", { scope: "row" }, h("code", {}, name), wanted), h("td", {}, kind(one)), h("td", {}, text));
    }),
  );
  return rows.length ? h("div", { class: "wide-table" }, h("table", {}, h("tbody", {}, ...rows))) : null;
}

function operation(path, method, one) {
  const body = Object.values(one.requestBody?.content ?? {})[0]?.schema;
  const parameters = (one.parameters ?? []).map((own) =>
    h("tr", {}, h("th", { scope: "row" }, h("code", {}, own.name), own.required ? " *" : ""), h("td", {}, own.in), h("td", {}, own.description ?? "")));
  const answers = Object.entries(one.responses ?? {}).map(([status, own]) => {
    const answer = Object.values(own.content ?? {})[0]?.schema;
    return h("tr", {}, h("th", { scope: "row" }, status), h("td", {}, answer ? kind(answer) : ""), h("td", {}, own.description));
  });
  const table = (rows) => (rows.length ? h("div", { class: "wide-table" }, h("table", {}, h("tbody", {}, ...rows))) : null);
  return h("details", {}, h("summary", {}, h("strong", {}, method.toUpperCase()), " ", h("code", {}, path), " ", h("span", { class: "soft" }, one.summary ?? "")),
    one.description ? h("p", {}, one.description) : null, table(parameters),
    body ? h("h4", {}, "Request: ", kind(body)) : null, body ? fields(schema(body)) : null, h("h4", {}, "Answers"), table(answers));
}

const groups = new Map();
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, one] of Object.entries(methods)) {
    const group = one.tags?.[0] ?? "other";
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(operation(path, method, one));
  }
}
const { title, version, description: words_ } = description.info;
main.append(h("h1", {}, `${title} ${version}: API`), h("p", {}, words_), h("p", { class: "soft" }, "* has to be there"));
for (const [group, operations] of groups) main.append(h("h2", {}, group), ...operations);
const objects = Object.entries(description.components.schemas).sort().map(([name, one]) => {
  const table = fields(one);
  return h("details", { id: name }, h("summary", {}, h("code", {}, name), " ", h("span", { class: "soft" }, one.description ?? "")), table ?? words(one).join(", "));
});
main.append(h("h2", {}, "Objects"), ...objects);
