// The page: asks the command for the node's state once a second while somebody looks, and shows it.
// All text goes into the page as text: names are what other nodes say.

import { NetworkMap } from "./map.js";

const INTERVAL = 1000; // ms between states
const AGAIN = 5000; // ms between trials of `why`
const LEGEND = { direct: "direct", relay: "by a relay", tls: "by TLS", silent: "no answer", idle: "no session" };
const WORST_FIRST = ["silent", "degraded", "tls", "relay", "idle", "former", "elsewhere", "direct", "self"];
const SIZES = ["B", "KiB", "MiB", "GiB"];

const get = (id) => document.getElementById(id);
const view = { state: null, selected: "", order: "path", rates: new Map(), before: new Map(), revision: -1,
  asked: "" };
const map = new NetworkMap(get("map"), (id) => { select(id); openTab("nodes"); });

// -- Elements -------------------------------------------------------------------------------------

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== false) made.setAttribute(key, value);
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== ""));
  return made;
}

// Have an element hold these children. Elements of the same kind stay, so focus and a click under way do, too.
function fill(id, ...children) {
  morph(get(id), el("div", {}, children));
}

function morph(place, wanted) {
  const before = [...place.childNodes], after = [...wanted.childNodes];
  after.forEach((node, index) => {
    const old = before[index];
    if (!old) place.append(node);
    else if (old.nodeName !== node.nodeName) old.replaceWith(node);
    else if (old instanceof Text) { if (old.data !== node.data) old.data = node.data; }
    else {
      for (const { name } of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name);
      for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
      morph(old, node);
    }
  });
  before.slice(after.length).forEach((node) => node.remove());
}

// A sentence, in which commands stand between backticks.
function sentence(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

function table(head, rows, nothing) {
  if (!rows.length) return el("p", { class: "quiet" }, nothing);
  return el("table", {}, el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell))))));
}

function command(what, text) {
  return el("div", { class: "command" }, el("span", {}, what ? `${what}: ` : "", el("code", {}, text)),
    el("button", { type: "button", "data-copy": text, "aria-label": `Copy: ${text}` }, "Copy"));
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch { // a browser that lets only pages by HTTPS, or of this host, use the clipboard
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
  }
}

function bytes(number) {
  const power = Math.min(SIZES.length - 1, Math.floor(Math.log2(Math.max(1, number)) / 10));
  return `${(number / 2 ** (10 * power)).toFixed(power ? 1 : 0)} ${SIZES[power]}`;
}

// -- State ----------------------------------------------------------------------------------------

async function ask(path) {
  const answer = await fetch(path);
  if (answer.status === 403) throw new Error("This page's command has been started anew: open the link that it printed.");
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.detail);
  return found;
}

async function poll() {
  if (!document.hidden) {
    try {
      view.state = await ask("/state");
      measure();
      show();
    } catch (error) {
      const gone = error instanceof TypeError ? "`wgpy mesh page` has ended." : error.message;
      fill("connection", el("strong", { class: "silent" }, `${gone}${view.state ? " This was known before." : ""}`));
    }
  }
  setTimeout(poll, INTERVAL);
}

// How many bytes a second each end sent and received since the last state.
function measure() {
  const now = performance.now();
  for (const end of view.state.ends) {
    const before = view.before.get(end.id), total = end.received + end.sent;
    view.before.set(end.id, { total, now });
    if (before) view.rates.set(end.id, Math.max(0, (total - before.total) / (now - before.now) * 1000));
  }
}

function rate(end) {
  const found = view.rates.get(end.id) ?? 0;
  return found >= 1 ? `${bytes(found)}/s` : "";
}

function select(id) {
  view.selected = id;
  show();
}

// -- What is shown --------------------------------------------------------------------------------

function show() {
  const state = view.state;
  if (!state) return;
  document.title = `${state.network} by ${state.name}`;
  fill("title", `${state.network}, as ${state.name} knows it`);
  fill("connection", connection(state));
  fill("counts", counts(state));
  map.draw(state, groupOf, view.selected);
  fill("remarks", state.remarks.map((text) => el("li", {}, sentence(text))));
  fill("list", list(state));
  fill("details", details(state));
  const from = get("from").value;
  fill("from", ends(state).map((end) => el("option", { value: end.id, selected: end.state === "self" }, end.name)));
  if (from && state.ends.some((end) => end.id === from)) get("from").value = from;
  fill("ends", ends(state).filter((end) => end.state !== "self").map((end) => el("option", { value: end.name })));
  fill("rule-list", rules(state));
  fill("rejected", table(["Time", "From", "Why", "What"], state.rejected.map((one) =>
    [new Date(one.time * 1000).toLocaleString(), one.source, one.reason, one.what]), "None: all that was received is so."));
  if (state.revision !== view.revision && !get("rules").hidden) showMatrix();
}

function ends(state) {
  return state.ends.filter((end) => end.kind !== "former");
}

function connection(state) {
  if (!state.member) return el("strong", { class: "silent" }, "This node is no member of the network.");
  if (state.connected) return "The coordinator is connected.";
  return el("strong", { class: "silent" }, `The coordinator is not connected${state.trouble ? `: ${state.trouble}` : "."}`);
}

function counts(state) {
  const nodes = state.ends.filter((end) => end.kind === "node" && end.state !== "self");
  const found = Object.keys(LEGEND).map((name) => [name, nodes.filter((end) => end.state === name).length]);
  return found.filter(([, number]) => number).map(([name, number]) =>
    el("li", { class: `mark ${name}` }, `${number} ${LEGEND[name]}`));
}

function groupOf(end) {
  const grouping = get("grouping").value;
  if (grouping === "state") return LEGEND[end.state] ?? end.state;
  return grouping === "place" ? end.place : end.tags[0] ?? "";
}

function list(state) {
  const words = get("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = state.ends.filter((end) => {
    const text = [end.name, end.address, end.kind, end.state, ...end.tags].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const rank = (end) => WORST_FIRST.indexOf(end.state);
  const orders = {
    name: (one, other) => one.name.localeCompare(other.name),
    path: (one, other) => rank(one) - rank(other) || one.name.localeCompare(other.name),
    latency: (one, other) => (other.round_trip ?? 0) - (one.round_trip ?? 0),
    traffic: (one, other) => (view.rates.get(other.id) ?? 0) - (view.rates.get(one.id) ?? 0),
  };
  found.sort(orders[view.order]);
  const head = ["name", "path", "latency", "traffic"].map((name) =>
    el("th", { scope: "col", "aria-sort": view.order === name ? "ascending" : "none" },
      el("button", { type: "button", "data-order": name }, name[0].toUpperCase() + name.slice(1))));
  const rows = found.map((end) => el("tr", { class: end.id === view.selected ? "selected" : "" },
    el("td", {}, el("button", { type: "button", class: "name", "data-end": end.id },
      end.kind === "node" || end.kind === "former" ? end.name : `${end.kind} ${end.name}`)),
    el("td", {}, el("span", { class: `mark ${end.state}` }, pathWord(end))),
    el("td", {}, end.round_trip ? `${(end.round_trip / 1000).toFixed(1)} ms` : ""),
    el("td", {}, rate(end))));
  return [el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)];
}

function pathWord(end) {
  if (end.state === "self") return end.kind === "site" ? "by this node" : "this node";
  return { ...LEGEND, degraded: "a gateway is away", former: "no member", elsewhere: "at another gateway" }[end.state];
}

function details(state) {
  const end = state.ends.find((one) => one.id === view.selected);
  if (!end) return [];
  const rows = end.rows.flatMap(([subject, text]) => [el("dt", {}, subject), el("dd", {}, text)]);
  return [
    el("h2", {}, `${end.name} `, el("span", { class: `mark ${end.state}` }, pathWord(end))),
    el("dl", {}, rows),
    end.kind === "former" || end.state === "self" ? "" : el("p", {}, el("button", { type: "button", "data-why": end.name }, `Why is ${end.name} reachable or not?`)),
    ...end.commands.map(([what, text]) => command(what, text)),
  ];
}

function rules(state) {
  if (!state.rules.length) return el("p", {}, "There is no rule, so every node may begin to every other one. ",
    el("code", {}, "sudo wgpy mesh allow SOURCE DESTINATION"), " makes the first.");
  return [
    table(["Rule", "From and to", "Let in here"], state.rules.map((rule) => [`${rule.number}`, rule.text, `${rule.packets} packets`])),
    el("p", {}, "On a host that has the network's key:"),
    command("Add a rule", "sudo wgpy mesh allow SOURCE DESTINATION"),
    state.rules.map((rule) => command(`Take back rule ${rule.number}`, rule.command)),
  ];
}

// -- What is asked for when it is looked at ---------------------------------------------------------

async function showMatrix() {
  view.revision = view.state.revision;
  let found;
  try {
    found = await ask("/matrix");
  } catch (error) {
    fill("matrix", el("p", { class: "silent" }, error.message));
    return;
  }
  const { open, groups, permissions } = found;
  const label = (names) => names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
  const head = el("tr", {}, el("th", { scope: "col" }, "from \\ to"), groups.map((names) =>
    el("th", { scope: "col", title: names.join(", ") }, label(names))));
  const rows = groups.map((names, row) => el("tr", {}, el("th", { scope: "row", title: names.join(", ") }, label(names)),
    groups.map((_, column) => el("td", {}, open ? "all" : cell(permissions[row][column])))));
  fill("matrix", el("table", {}, el("thead", {}, head), el("tbody", {}, rows)));
}

function cell(permissions) {
  if (!permissions.length) return el("span", { class: "quiet" }, "–");
  return permissions.map((one) => el("div", {}, [one.ports || "all", one.prefixes].filter(Boolean).join(" of "),
    el("span", { class: "quiet" }, one.number ? `, rule ${one.number}` : ", its own record")));
}

async function why() {
  const from = view.state.ends.find((end) => end.id === get("from").value), to = get("to").value.trim();
  if (!to) return;
  if (from.state !== "self" || from.kind !== "node") {
    fill("answer", el("p", {}, `Only ${from.name} itself can try that; there:`),
      command("", `sudo wgpy mesh why ${to}`), await ruleBetween(from, to));
    return;
  }
  if (view.asked !== to) fill("answer", el("p", {}, "Trying…"));
  view.asked = to;
  try {
    const found = await ask(`/why?name=${encodeURIComponent(to)}`);
    const marks = { true: "yes", false: "no", null: "?" }, classes = { true: "direct", false: "silent", null: "idle" };
    const path = found.findings.path?.text ?? "", byRelay = found.reachable && path.startsWith("by ");
    const wrong = (one) => one.good === false && one.decisive;
    const rows = Object.entries(found.findings).sort(([, one], [, other]) => wrong(other) - wrong(one));
    fill("answer",
      el("p", {}, el("strong", { class: byRelay ? "relay" : classes[found.reachable] }, found.summary),
        byRelay ? ` It is reached ${path}.` : ""),
      el("table", {}, el("tbody", {}, rows.map(([subject, one]) => el("tr", {},
        el("th", { scope: "row" }, subject), el("td", { class: one.decisive ? classes[one.good] : "idle" }, marks[one.good]),
        el("td", {}, one.text))))),
      found.advice.map((text) => el("p", {}, sentence(text))));
  } catch (error) {
    fill("answer", el("p", { class: "silent" }, error.message));
  }
}

// Ask about an end from this node.
function askWhy(name) {
  get("from").value = ends(view.state).find((end) => end.kind === "node" && end.state === "self").id;
  get("to").value = name;
  openTab("why");
  why();
}

// What the rules say of two ends, neither of which is this node.
async function ruleBetween(from, to) {
  const { open, groups, permissions } = await ask("/matrix");
  const of = (name) => groups.findIndex((names) => names.some((one) => one.replace(/^(client|site):/, "") === name));
  const row = of(from.name), column = of(to.replace(/^(client|site):/, ""));
  if (row < 0 || column < 0) return el("p", {}, "This node does not know the rules between the two.");
  if (open) return el("p", {}, "There is no rule, so it may begin to it.");
  return el("p", {}, "It may begin to: ", cell(permissions[row][column]));
}

async function showRecords() {
  try {
    const { tokens, audit } = await ask("/records");
    fill("tokens", table(["Token", "State", "Used", "Tags", ""], tokens.map((one) => [
      one.key, one.state, `${one.used} of ${one.uses}`, one.tags.join(", "),
      command("", `sudo wgpy mesh revoke ${one.key.slice(0, 12)}`)]), "None."));
    fill("audit", table(["Time", "Who", "What", "From"], audit.map((one) => [one.time, one.who, one.told, one.from]), "None."));
  } catch (error) {
    for (const id of ["tokens", "audit"]) fill(id, el("p", { class: "quiet" }, error.message));
  }
}

// -- What is clicked and typed -----------------------------------------------------------------------

const tabs = [...document.querySelectorAll("[role=tab]")];

function openTab(name) {
  for (const tab of tabs) {
    const isOpen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", isOpen);
    tab.tabIndex = isOpen ? 0 : -1;
    get(tab.getAttribute("aria-controls")).hidden = !isOpen;
  }
  if (name === "rules" && view.state) showMatrix();
  if (name === "records") showRecords();
}

for (const [index, tab] of tabs.entries()) {
  tab.addEventListener("click", () => openTab(tab.id.slice(4)));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    openTab(next.id.slice(4));
    next.focus();
  });
}
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  const { end, order, copy: text, why: name } = button.dataset;
  if (end) select(end);
  if (name) askWhy(name);
  if (text) copy(button);
  if (order) { view.order = order; show(); }
});
get("search").addEventListener("input", show);
get("grouping").addEventListener("change", show);
get("fit").addEventListener("click", () => map.fit());
get("question").addEventListener("submit", (event) => { event.preventDefault(); why(); });
setInterval(() => { if (get("again").checked && !document.hidden && !get("why").hidden) why(); }, AGAIN);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) {
    event.preventDefault();
    openTab("nodes");
    get("search").focus();
  }
});
fill("legend", Object.entries(LEGEND).map(([name, text]) => el("li", { class: `mark ${name}` }, text)));
poll();
