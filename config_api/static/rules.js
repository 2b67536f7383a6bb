// Rules of a property: look, edit, try, save, compare, go back.

import { Refused, ask, hasKey, keep } from "./calls.js";
import { at, button, element, instant, json, table } from "./dom.js";
import { previewed } from "./previewed.js";

let newest = null; // the version that is edited, and its ETag

const path = (rest = "") => `/v1/${at("property").value}/rules${rest}`;

function say(text, troubled = false) {
  at("said").textContent = text;
  at("said").classList.toggle("troubled", troubled);
}

function tell(problems) {
  at("problems").replaceChildren(
    ...problems.map((each) =>
      element("li", `${each.where}: got ${json(each.got)}; allowed: ${each.allowed}`),
    ),
  );
}

// Do something, and say what became of it. Nothing else is to be done meanwhile: what is saved is
// what is shown, of the property that is shown.
function doing(text, work) {
  return async (event) => {
    if (event) event.preventDefault();
    const focused = document.activeElement;
    at("workplace").inert = true;
    say(text + " …");
    tell([]);
    try {
      say((await work()) || "");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      tell(error.problems);
      say(error.message, true);
      if (error.changes.length) compare("Somebody saved meanwhile", error.changes);
    } finally {
      at("workplace").inert = false;
      focused.focus();
    }
  };
}

function edited() {
  try {
    return JSON.parse(at("document").value);
  } catch (error) {
    throw new Refused({ message: "This is no JSON: " + error.message });
  }
}

async function open() {
  const owners = [];
  for (let token = 0; token !== null; ) {
    const { document } = await ask("GET", `/v1/properties?page_size=1000&page_token=${token}`);
    owners.push(...document.properties);
    token = document.next_page_token ?? null;
  }
  at("property").replaceChildren(
    ...owners.map((owner) => {
      const option = element("option", `${owner.display_name} (${owner.name})`);
      option.value = owner.name;
      return option;
    }),
  );
  at("access").hidden = true;
  at("workplace").hidden = owners.length === 0;
  if (!owners.length) return "This key sees no property. tallymark property create makes one.";
  return load();
}

async function load() {
  newest = await ask("GET", path());
  const version = newest.document;
  at("document").value = JSON.stringify(version.said, null, 2);
  const inherited = version.inherited.map((name) => [name, json(version.document[name])]);
  at("inherited-parts").replaceChildren(...table("", ["part", "what holds"], inherited).children);
  at("version").textContent =
    `Version ${version.version}, in force ${instant(version.effective_at)}, by ${version.author}`;
  at("previewed").hidden = true;
  at("replayed").hidden = true;
  at("differences").replaceChildren();
  await list();
}

async function list() {
  const { versions } = (await ask("GET", path("/versions"))).document;
  const rows = versions.map((each) => [
    each.version, instant(each.effective_at), each.author, each.comment, choices(each.version),
  ]);
  const found = table("", ["version", "in force from", "by", "why", ""], rows);
  at("versions").replaceChildren(...found.children);
}

function choices(version) {
  if (version === newest.document.version) return element("span", "newest");
  return element(
    "span", "",
    button("Compare", doing("Comparing", () => differences(version))), " ",
    button("Take back to", doing("Taking back", () => takeBack(version))),
  );
}

async function differences(version) {
  const range = `?from=${version}&to=${newest.document.version}`;
  const found = (await ask("GET", path(":diff" + range))).document.differences;
  compare(`Version ${newest.document.version} beside version ${version}`, found);
  return found.length ? "" : "They say the same.";
}

function compare(caption, found) {
  const rows = found.map((each) => [each.where, json(each.from), json(each.to)]);
  at("differences").replaceChildren(table(caption, ["where", "before", "after"], rows));
}

async function takeBack(version) {
  const body = { version, comment: at("comment").value };
  return saved(await ask("POST", path(":rollback"), body, newest.etag));
}

async function saved(answer) {
  const version = answer.document;
  await load();
  return `Version ${version.version} is saved and takes effect at ${instant(version.effective_at)}.`;
}

async function check() {
  const found = (await ask("POST", path(":validate"), { document: edited() })).document;
  tell(found.problems);
  return found.is_valid ? "It can be saved." : "It cannot be saved as it is.";
}

async function save() {
  const body = { document: edited(), comment: at("comment").value };
  return saved(await ask("PUT", path(), body, newest.etag));
}

function range() {
  const us = (id) => Date.parse(at(id).value + "Z") * 1000;
  return { from: us("from"), to: us("to") };
}

async function replay() {
  const body = { ...range(), rules: "latest", comment: at("comment").value };
  await ask("POST", path(":replay"), body);
  await replays();
  return "The replay is asked for. What reports show changes once somebody has published it.";
}

async function replays() {
  const { document } = await ask("GET", `/v1/${at("property").value}/replays`);
  const rows = document.replays.map((each) => [
    instant(each.from), instant(each.to), each.rules, each.state, each.lineage, each.asked_by,
    each.comment, each.reason,
  ]);
  const head = ["from", "to", "rules", "state", "lineage", "by", "why", "reason"];
  at("replays").replaceChildren(...table("Replays that were asked for", head, rows).children);
  at("replayed").hidden = false;
}

async function preview() {
  const body = { document: edited(), ...range() };
  const found = (await ask("POST", path(":preview"), body)).document;
  at("previewed").replaceChildren(...previewed(found));
  at("previewed").hidden = false;
}

function lastDay() {
  const hour = Math.floor(Date.now() / 3_600_000) * 3_600_000;
  const text = (ms) => new Date(ms).toISOString().slice(0, 16);
  at("from").value = text(hour - 86_400_000);
  at("to").value = text(hour + 3_600_000);
}

lastDay();
at("access").addEventListener("submit", doing("Opening", () => (keep(at("key").value), open())));
at("property").addEventListener("change", doing("Reading", load));
at("check").addEventListener("click", doing("Checking", check));
at("preview").addEventListener("click", doing("Trying it", preview));
at("replay").addEventListener("click", doing("Asking", replay));
at("editor").addEventListener("submit", doing("Saving", save));
if (hasKey()) doing("Opening", open)();
