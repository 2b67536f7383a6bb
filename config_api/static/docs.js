"use strict";
// Shows /openapi.json as a page; texts go in as text, never as markup.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function link(text, target) {
  const made = element("a", text);
  made.href = target;
  return made;
}

function kind(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return link(name, "#schema-" + name);
  }
  const choices = schema.anyOf || schema.oneOf;
  if (choices) {
    const span = element("span");
    choices.forEach((each, index) => span.append(index ? " or " : "", kind(each)));
    return span;
  }
  if (schema.type === "array") return element("span", "list of ", kind(schema.items || {}));
  if (schema.enum) return element("span", schema.enum.join(", "));
  const bounds = ["minimum", "maximum", "minLength", "maxLength", "pattern"]
    .filter((name) => name in schema)
    .map((name) => name + " " + schema[name]);
  return element("span", [schema.type || "anything", ...bounds].join(", "));
}

function table(caption, rows) {
  const made = element("table", "", element("caption", caption));
  for (const [name, schema, required] of rows) {
    const what = element("td", "", kind(schema));
    if (schema.description) what.append(": " + schema.description);
    made.append(element("tr", "", element("td", name), what, element("td", required ? "required" : "")));
  }
  return made;
}

function body(content) {
  return kind(content["application/json"].schema);
}

function call(method, path, operation) {
  const title = element("h3", method.toUpperCase() + " " + path);
  const section = element("section", "", title, element("p", operation.summary + "."));
  section.id = operation.operationId;
  section.append(element("p", operation.description));
  if (operation.parameters.length) {
    section.append(table("Parameters", operation.parameters.map((each) => [each.name, each.schema, each.required])));
  }
  if (operation.requestBody) section.append(element("p", "Send: ", body(operation.requestBody.content)));
  for (const [status, response] of Object.entries(operation.responses)) {
    section.append(element("p", "Answer " + status + ": ", body(response.content)));
  }
  return section;
}

function schema(name, definition) {
  const section = element("section", "", element("h3", name));
  section.id = "schema-" + name;
  if (definition.description) section.append(element("p", definition.description));
  const required = definition.required || [];
  const rows = Object.entries(definition.properties || {});
  if (rows.length) section.append(table("Fields", rows.map(([field, each]) => [field, each, required.includes(field)])));
  return section;
}

async function show() {
  const answer = await fetch("/openapi.json");
  const api = await answer.json();
  const about = document.getElementById("about");
  about.textContent = api.info.description + " Send a key as Authorization: Bearer KEY. ";
  about.append(link("The document for programs", "/openapi.json"));
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      document.getElementById("calls").append(call(method, path, operation));
      const name = method.toUpperCase() + " " + path;
      document.getElementById("calls-index").append(link(name, "#" + operation.operationId));
    }
  }
  for (const [name, definition] of Object.entries(api.components.schemas)) {
    document.getElementById("schemas").append(schema(name, definition));
  }
}

show().catch((error) => {
  document.getElementById("about").textContent = "The document cannot be read: " + error;
});
