// Elements with texts in them; whatever comes from elsewhere goes in as text, never as markup.

export const at = (id) => document.getElementById(id);

export function element(name, text = "", ...children) {
  const made = document.createElement(name);
  if (text !== "") made.textContent = String(text);
  made.append(...children);
  return made;
}

// A table of rows of texts, numbers or elements; numbers stand to the right.
export function table(caption, head, rows) {
  const made = element("table", "", element("caption", caption));
  made.append(element("tr", "", ...head.map((text) => element("th", text))));
  for (const row of rows) made.append(element("tr", "", ...row.map(cell)));
  return made;
}

function cell(content) {
  if (content instanceof Node) return element("td", "", content);
  const made = element("td", typeof content === "number" ? content.toLocaleString("en") : content);
  if (typeof content === "number") made.className = "number";
  return made;
}

export function button(text, work) {
  const made = element("button", text);
  made.type = "button";
  made.addEventListener("click", work);
  return made;
}

export const instant = (us) =>
  us === null ? "since ever" : new Date(us / 1000).toISOString().slice(0, 19) + "Z";

export const json = (value) => (value === null ? "–" : JSON.stringify(value));
