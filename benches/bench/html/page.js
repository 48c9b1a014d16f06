
"use strict";
// Draws the plots from the figures in the page. Nothing is fetched.

const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.results.map((row, index) => ({ ...row, ratio: data.ratios[index] }));
const metrics = new Map(data.metrics.map((metric, place) => [metric.name, { ...metric, place }]));
const COLOURS = {
  corio: "#2f6fe4", go: "#12a594", tokio: "#e5703a", may: "#9b5de5", std: "#8a8f98", raw: "#c2a300",
  corosensei: "#d6478f",
};
const OTHERS = ["#4caf50", "#b5651d", "#00a3c4", "#b71c4a"];
const PERCENTILES = [["p50_us", "p50"], ["p99_us", "p99"], ["p999_us", "p99.9"], ["max_us", "max"]];

const unique = (list) => [...new Set(list)];
const extras = unique(rows.map((row) => row.peer)).filter((peer) => !COLOURS[peer]);
const colour = (peer) => COLOURS[peer] || OTHERS[extras.indexOf(peer) % OTHERS.length];
const label = (metric) => (metrics.get(metric) || { label: metric }).label;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.onclick = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Three digits that count, with k, M and G. */
function figure(value) {
  if (!Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  for (const [limit, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (size >= limit) return Number((value / (letter === "k" ? 1e3 : limit)).toPrecision(3)) + letter;
  }
  return String(size >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}

const tip = (row) => `${row.peer}: ${figure(row.median)} ${row.unit} [${figure(row.min)}..${figure(row.max)}], `
  + `${row.runs} rounds` + (row.disturbed ? `, ${row.disturbed} disturbed` : "")
  + (row.ratio ? `, ${figure(row.ratio)} times corio` : "");

/** Horizontal bars, one for each peer, with the range of the rounds. */
function bars(title, list) {
  const width = 340, left = 92, right = 104, height = 22;
  const room = width - left - right;
  const corio = list.find((row) => row.peer === "corio");
  let top = Math.max(...list.map((row) => row.max), 1e-12);
  // One that is far behind is cut off, so that the others can be told apart.
  if (corio && corio.lower_is_better && corio.max > 0) top = Math.min(top, corio.max * 8);
  const x = (value) => left + room * Math.min(Math.max(value, 0) / top, 1);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${list.length * height + 4}`, role: "img", "aria-label": title });
  list.forEach((row, index) => {
    const y = index * height + 4, middle = y + 8;
    const group = shape("g");
    group.append(shape("title", {}, tip(row)));
    const name = row.peer + (row.disturbed ? " !" : "");
    group.append(shape("text", { x: left - 6, y: middle + 4, "text-anchor": "end" }, name));
    const end = x(row.median);
    group.append(shape("rect", { x: left, y, width: Math.max(end - left, 1), height: 16, rx: 2, fill: colour(row.peer) }));
    if (row.median > top) {
      group.append(shape("path", { d: `M${end - 12} ${y - 2}l5 20m3 -20l5 20`, stroke: "var(--card)", "stroke-width": 2.5 }));
    } else if (row.runs > 1) {
      const [a, b] = [x(row.min), x(row.max)];
      group.append(shape("path", { class: "range", d: `M${a} ${middle}H${b}M${a} ${middle - 4}v8M${b} ${middle - 4}v8` }));
    }
    const after = row.median > top ? end : Math.max(end, x(row.max));
    const value = shape("text", { x: after + 5, y: middle + 4 }, figure(row.median));
    if (row.ratio) {
      const ratio = shape("tspan", { fill: "var(--dim)", dx: 5 }, `${figure(row.ratio)}×`);
      value.append(ratio);
    }
    group.append(value);
    svg.append(group);
  });
  return element("div", {}, element("h3", {}, title), svg);
}

/** Lines over a few places on the x axis; the y axis is logarithmic. */
function lines(title, places, series, unit) {
  const width = 340, height = 190, left = 44, right = 12, low = 24, high = 8;
  const points = series.flatMap((one) => one.points.filter(Boolean));
  const values = points.flatMap((p) => [p.min, p.max, p.median]).filter((v) => v > 0);
  if (!values.length) return null;
  let from = Math.log10(Math.min(...values)), to = Math.log10(Math.max(...values));
  if (to - from < 0.3) { from -= 0.15; to += 0.15; }
  const y = (value) => high + (height - low - high) * (1 - (Math.log10(Math.max(value, 1e-12)) - from) / (to - from));
  const x = (index) => left + (width - left - right) * (places.length === 1 ? 0.5 : index / (places.length - 1));
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  const marks = [];
  for (let power = Math.floor(from); power <= Math.ceil(to); power += 1) {
    for (const step of to - from > 2.5 ? [1] : to - from > 1 ? [1, 3] : [1, 1.5, 2, 3, 5, 7]) {
      const value = step * 10 ** power;
      if (Math.log10(value) >= from && Math.log10(value) <= to) marks.push(value);
    }
  }
  for (const value of marks) {
    svg.append(shape("path", { class: "axis", d: `M${left} ${y(value)}H${width - right}` }));
    svg.append(shape("text", { class: "dim", x: left - 5, y: y(value) + 4, "text-anchor": "end" }, figure(value)));
  }
  places.forEach((place, index) => {
    const anchor = index === 0 ? "start" : index === places.length - 1 ? "end" : "middle";
    svg.append(shape("text", { class: "dim", x: x(index), y: height - 6, "text-anchor": places.length === 1 ? "middle" : anchor }, place));
  });
  for (const { peer, points: own } of series) {
    const drawn = own.map((p, index) => p && { ...p, index }).filter((p) => p && p.median > 0);
    const group = shape("g", { stroke: colour(peer), fill: colour(peer) });
    group.append(shape("path", { class: "line", d: drawn.map((p, i) => `${i ? "L" : "M"}${x(p.index)} ${y(p.median)}`).join("") }));
    for (const p of drawn) {
      const dot = shape("circle", { cx: x(p.index), cy: y(p.median), r: 3.2 });
      dot.append(shape("title", {}, tip(p)));
      if (p.min > 0 && p.runs > 1) group.append(shape("path", { d: `M${x(p.index)} ${y(p.min)}V${y(p.max)}`, opacity: 0.5 }));
      group.append(dot);
    }
    svg.append(group);
  }
  return element("div", {}, element("h3", {}, `${title}${unit ? `, ${unit}` : ""}`), svg);
}

const key = (peers) => element("div", { class: "key" },
  ...peers.map((peer) => element("span", {}, element("i", { style: `background:${colour(peer)}` }), peer)));

/** Bars of the metric for every form of the workload. */
function forms(list) {
  const names = unique(list.map((row) => JSON.stringify([row.procs, row.variant])));
  return names.map((name) => {
    const [procs, variant] = JSON.parse(name);
    const form = list.filter((row) => row.procs === procs && row.variant === variant);
    return bars(`${variant} · ${procs} proc${procs === 1 ? "" : "s"}`, form);
  });
}

/** The metric over the number of connections, where variants differ in that. */
function overConnections(list) {
  const pattern = /^C=(\d+) (.*)$|^(.*), connections=(\d+)$/;
  const parsed = list.map((row) => ({ row, match: pattern.exec(row.variant) })).filter((one) => one.match)
    .map(({ row, match }) => ({ row, count: Number(match[1] || match[4]), rest: match[2] || match[3] }));
  return overPlaces(parsed, (one) => `${one.rest} · procs ${one.row.procs}`, (one) => one.count, "over connections");
}

/** The metric over the number of procs. */
function overProcs(list) {
  return overPlaces(list.map((row) => ({ row })), (one) => one.row.variant, (one) => one.row.procs, "over procs");
}

function overPlaces(list, group, place, title) {
  return unique(list.map(group)).map((name) => {
    const mine = list.filter((one) => group(one) === name);
    const places = unique(mine.map(place)).sort((a, b) => a - b);
    if (places.length < 2) return null;
    const series = unique(mine.map((one) => one.row.peer)).map((peer) => ({
      peer,
      points: places.map((at) => (mine.find((one) => one.row.peer === peer && place(one) === at) || {}).row),
    }));
    return lines(`${name}: ${title}`, places.map(String), series, "");
  }).filter(Boolean);
}

/** Latency percentiles of every form. */
function percentiles(list) {
  const mine = list.filter((row) => PERCENTILES.some(([metric]) => metric === row.metric));
  const there = PERCENTILES.filter(([metric]) => mine.some((row) => row.metric === metric));
  if (there.length < 2) return [];
  return unique(mine.map((row) => JSON.stringify([row.procs, row.variant]))).map((name) => {
    const [procs, variant] = JSON.parse(name);
    const form = mine.filter((row) => row.procs === procs && row.variant === variant);
    const series = unique(form.map((row) => row.peer)).map((peer) => ({
      peer, points: there.map(([metric]) => form.find((row) => row.peer === peer && row.metric === metric)),
    }));
    return lines(`${variant} · procs ${procs}`, there.map(([, short]) => short), series, "µs");
  }).filter(Boolean);
}

function workload(name) {
  const list = rows.filter((row) => row.workload === name);
  const about = data.workloads.find((one) => one.name === name) || { about: "", verifies: "" };
  const plots = element("div");
  const own = unique(list.map((row) => row.metric))
    .sort((a, b) => (metrics.get(a) || { place: 99 }).place - (metrics.get(b) || { place: 99 }).place);
  const views = own.map((metric) => [label(metric), () => {
    const mine = list.filter((row) => row.metric === metric);
    const better = mine[0].lower_is_better ? "less is better" : "more is better";
    const out = [element("p", {}, `${label(metric)}: ${better}; the line on a bar is the range of the rounds, × is in relation to corio`)];
    out.push(element("div", { class: "grid" }, ...forms(mine)));
    const scaling = [...overConnections(mine), ...overProcs(mine)];
    if (scaling.length) {
      out.push(key(unique(mine.map((row) => row.peer))), element("div", { class: "grid" }, ...scaling));
    }
    return out;
  }]);
  const latency = percentiles(list);
  if (latency.length) {
    views.push(["latency percentiles", () => [
      element("p", {}, "logarithmic; lower is better"), key(unique(list.map((row) => row.peer))),
      element("div", { class: "grid" }, ...percentiles(list)),
    ]]);
  }
  const buttons = views.map(([title, draw], index) => element("button", {
    type: "button", "aria-pressed": String(index === 0),
    onclick: () => {
      buttons.forEach((one, other) => one.setAttribute("aria-pressed", String(other === index)));
      plots.replaceChildren(...draw());
    },
  }, title));
  plots.replaceChildren(...views[0][1]());
  return element("section", { class: "workload", id: name },
    element("h2", {}, name), element("p", {}, about.about + (about.verifies ? `. Verified: ${about.verifies}.` : "")),
    element("div", { class: "tabs" }, ...(views.length > 1 ? buttons : [])), plots);
}

const m = data.machine;
document.getElementById("machine").textContent =
  `${m.cpu}, ${m.cpus} CPUs, ${m.memory_mib} MiB${m.virtual_machine ? ", virtual machine" : ""}, Linux ${m.kernel}, `
  + `${m.date}, commit ${m.commit || "unknown"}. ` + Object.values(m.versions).join(", ");
document.getElementById("method").textContent = `${data.method}. A ! marks a peer with disturbed rounds.`;
const names = unique(rows.map((row) => row.workload));
document.getElementById("contents").append(...names.map((name) => element("a", { href: `#${name}` }, name)));
document.getElementById("plots").append(...names.map(workload));
if (data.notes.length) {
  document.getElementById("notes").append(element("h2", {}, "Notes"),
    element("ul", {}, ...data.notes.map((note) => element("li", {}, note))));
}
