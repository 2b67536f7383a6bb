// A preview as tables: metrics now and then, hits of each rule, examples of what differs.

import { element, json, table } from "./dom.js";

const label = (name) => name.replace("_micros", "").replaceAll("_", " ");
const shown = (name, value) => (name.endsWith("_micros") ? value / 1e6 : value);

export function previewed(found) {
  const drawn = found.sampled
    ? ` of ${(found.share_of_clients * 100).toFixed(1)} % of the clients`
    : "";
  const about =
    `${found.hits.toLocaleString("en")} hits${drawn}, received from ${found.from} to ${found.to}; ` +
    `${found.changed_hits.toLocaleString("en")} would be otherwise.`;
  return [
    element("h2", "Preview"),
    element("p", about),
    table("What reports would have shown", ["", "now", "then", "change"], metrics(found)),
    table("Hits that each rule applies to", ["rule", "", "hits"], found.rules.map((rule) => [
      rule.where, rule.kind || rule.name || rule.event, rule.hits,
    ])),
    table("Examples", ["hit", "field", "now", "then"], found.examples.flatMap(example)),
  ];
}

function metrics(found) {
  return Object.entries(found.metrics).map(([name, metric]) => [
    label(name), ...["before", "after", "change"].map((side) => shown(name, metric[side])),
  ]);
}

function example(one) {
  return Object.entries(one.changes).map(([field, change], place) => [
    place ? "" : one.hit_id, field, json(change.before), json(change.after),
  ]);
}
