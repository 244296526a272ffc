// Shows openapi.json for people. What comes from the document is written as text, never as HTML.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

/** An element with attributes and children; texts stay texts. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function paragraphs(text) {
  return (text || "").split("\n\n").filter(Boolean).map((part) => make("p", { class: "quiet" }, part));
}

function nameOf(reference) {
  return reference.slice(reference.lastIndexOf("/") + 1);
}

/** A schema in one line, with links to those that it names. */
function brief(schema) {
  if (schema === true || !schema || Object.keys(schema).length === 0) return ["any"];
  if (schema.$ref) return [make("a", { href: "#schema-" + nameOf(schema.$ref) }, nameOf(schema.$ref))];
  for (const key of ["anyOf", "oneOf"]) {
    if (schema[key]) return schema[key].flatMap((one, at) => (at ? [" or ", ...brief(one)] : brief(one)));
  }
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  const types = [schema.type || "any"].flat();
  if (schema.enum) return [schema.enum.map((word) => JSON.stringify(word)).join(" | ")];
  const words = types.flatMap((type, at) => {
    let said = [type];
    if (type === "array") said = ["array of ", ...brief(schema.items)];
    if (type === "object" && schema.additionalProperties && schema.additionalProperties !== true) said = ["object of ", ...brief(schema.additionalProperties)];
    return at ? [" or ", ...said] : said;
  });
  if (schema.format) words.push(` (${schema.format})`);
  const bounds = [["minimum", "from"], ["maximum", "to"], ["minLength", "min length"], ["maxLength", "max length"], ["maxItems", "at most"]];
  for (const [key, word] of bounds) if (schema[key] !== undefined) words.push(` ${word} ${schema[key]}`);
  return words;
}

/** A schema with its properties, a line each. */
function full(schema) {
  if (!schema || !schema.properties) return make("div", { class: "schema" }, ...brief(schema));
  const required = schema.required || [];
  const lines = Object.entries(schema.properties).flatMap(([name, is]) => [
    `${name}${required.includes(name) ? "" : "?"}: `,
    ...brief(is),
    is.description ? `  // ${is.description}` : "",
    "\n",
  ]);
  return make("div", { class: "schema" }, ...lines);
}

function table(head, rows) {
  return make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", {}, text)))),
    make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, ...[cell].flat()))))),
  );
}

function inside(operation, whole) {
  const parts = [...paragraphs(operation.description)];
  parts.push(make("p", { class: "quiet small" }, `${operation.operationId} · needs: ${operation["x-permission"]}`));
  const parameters = operation.parameters || [];
  if (parameters.length) {
    const rows = parameters.map((p) => [make("code", {}, p.name), p.in + (p.required ? ", required" : ""), brief(p.schema), p.description || ""]);
    parts.push(make("h3", {}, "Parameters"), table(["Name", "In", "Is", ""], rows));
  }
  if (operation.requestBody) {
    parts.push(make("h3", {}, operation.requestBody.required ? "Body" : "Body, if any"));
    for (const body of Object.values(operation.requestBody.content)) parts.push(full(body.schema));
  }
  const answers = Object.entries(operation.responses).map(([status, answer]) => {
    const is = answer.$ref ? whole.components.responses[nameOf(answer.$ref)] : answer;
    const contents = Object.entries(is.content || {}).flatMap(([kind, body], at) => [at ? make("br") : "", `${kind}: `, ...brief(body.schema)]);
    return [make("code", {}, status), is.description, contents];
  });
  parts.push(make("h3", {}, "Answers"), table(["Status", "", "Body"], answers));
  return parts;
}

function shown(method, path, operation, whole) {
  const summary = make(
    "summary",
    {},
    make("span", { class: "method " + method }, method.toUpperCase()),
    make("span", { class: "path" }, path),
    make("span", { class: "quiet" }, operation.summary),
  );
  const details = make("details", { class: "op", id: operation.operationId }, summary);
  // Two hundred operations are many elements: each is made when it is looked at.
  details.addEventListener("toggle", () => {
    if (details.open && !details.querySelector(".inside")) details.append(make("div", { class: "inside" }, ...inside(operation, whole)));
  });
  details.words = [method, path, operation.operationId, operation.summary, operation.description || ""].join(" ").toLowerCase();
  return details;
}

function show(whole) {
  document.getElementById("title").textContent = `${whole.info.title} ${whole.info.version}: the API`;
  document.getElementById("about").replaceChildren(...paragraphs(whole.info.description));
  const byTag = new Map(whole.tags.map((tag) => [tag.name, []]));
  for (const [path, methods] of Object.entries(whole.paths)) {
    for (const method of METHODS) {
      if (methods[method]) byTag.get(methods[method].tags[0]).push(shown(method, path, methods[method], whole));
    }
  }
  const sections = whole.tags.map((tag) =>
    make("section", {}, make("h2", {}, tag.name), make("p", { class: "quiet small" }, tag.description), ...byTag.get(tag.name)),
  );
  document.getElementById("operations").replaceChildren(...sections);
  const schemas = Object.entries(whole.components.schemas).map(([name, schema]) =>
    make("section", { id: "schema-" + name }, make("h2", {}, name), ...paragraphs(schema.description), full(schema)),
  );
  document.getElementById("schemas").replaceChildren(...schemas);
  document.getElementById("schemas-title").hidden = false;

  const find = document.getElementById("find");
  find.addEventListener("input", () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const section of sections) {
      let any = false;
      for (const operation of section.querySelectorAll("details.op")) {
        operation.hidden = !words.every((word) => operation.words.includes(word));
        if (!operation.hidden) [any, count] = [true, count + 1];
      }
      section.hidden = !any;
    }
    document.getElementById("found").textContent = words.length ? `${count} operations` : "";
  });
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named) {
    if (named.tagName === "DETAILS") named.open = true;
    named.scrollIntoView();
  }
}

fetch("/openapi.json")
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`openapi.json answered ${answer.status}`))))
  .then(show)
  .catch((error) => document.getElementById("operations").replaceChildren(make("p", { class: "notice" }, String(error.message || error))));
