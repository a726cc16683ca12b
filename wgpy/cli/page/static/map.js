// The map: this node in the middle, the others around it in groups, and what is behind a node beside it.

const GAP = 80; // between neighbours
const FEW = 60; // ends, up to which ways have their round trip as text and stand out
const SHAPES = { node: "ellipse", site: "round-rectangle", client: "round-tag" };

export class NetworkMap {
  constructor(container, select) {
    this.graph = cytoscape({ container, style: style(), maxZoom: 3, minZoom: 0.05,
      hideEdgesOnViewport: true, textureOnViewport: true });
    this.graph.on("tap", "node[kind]", (event) => select(event.target.id()));
    this.arrangement = "";
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.graph.style(style()));
  }

  // Show a state; who is where only changes with the ends and their groups.
  draw(state, groupOf, selected) {
    const ends = state.ends.filter((end) => end.kind !== "former");
    const known = new Set(ends.map((end) => end.id));
    const edges = state.edges.filter((edge) => known.has(edge.source) && known.has(edge.target));
    const groups = grouped(ends, groupOf);
    const local = ends.find((end) => end.kind === "node" && end.state === "self")?.id;
    const wanted = new Map(), isLarge = ends.length > FEW;
    for (const end of ends) wanted.set(end.id, { group: "nodes", data: nodeData(end) });
    for (const [name, members] of groups)
      if (name && members.length) wanted.set(`group:${name}`, { group: "nodes", data: { id: `group:${name}`, label: name,
        size: Math.max(15, 3 * Math.sqrt(ends.length)) } });
    for (const edge of edges)
      wanted.set(edge.id, { group: "edges", data: { ...edge, label: isLarge ? "" : edge.text, isRelayed: edge.source !== local && edge.target.startsWith("node:"),
        opacity: isLarge && edge.state === "direct" ? 0.25 : 1 } });
    const arrangement = JSON.stringify([[...groups].map(([name, members]) => [name, members.map((end) => end.id)]),
      [...wanted.keys()]]);
    this.graph.batch(() => {
      this.graph.elements().forEach((one) => { if (!wanted.has(one.id())) one.remove(); });
      for (const [id, element] of wanted) {
        const found = this.graph.getElementById(id);
        if (found.empty()) this.graph.add(element); else found.data(element.data);
      }
      this.graph.nodes().forEach((one) => { one.toggleClass("selected", one.id() === selected); });
      if (arrangement === this.arrangement) return;
      const places = arranged(groups, edges, ends);
      this.graph.nodes().forEach((one) => { one.position(places.get(one.id())); });
    });
    if (arrangement !== this.arrangement) this.fit();
    this.arrangement = arrangement;
  }

  fit() { this.graph.fit(undefined, 50); }
}

function nodeData(end) {
  return { id: end.id, kind: end.kind, state: end.state, label: end.name, shape: end.relay ? "hexagon" : SHAPES[end.kind],
    isLocal: end.state === "self" && end.kind === "node" ? "yes" : "no" };
}

// The nodes but this one, by their groups, each in the order of names.
function grouped(ends, groupOf) {
  const groups = new Map();
  for (const end of ends.filter((end) => end.kind === "node" && end.state !== "self")) {
    const name = groupOf(end);
    groups.set(name, [...(groups.get(name) ?? []), end]);
  }
  for (const members of groups.values()) members.sort((one, other) => one.name.localeCompare(other.name));
  return new Map([...groups].sort(([one], [other]) => one.localeCompare(other)));
}

// Groups are discs around this node; what is behind a node lies further out on the same line.
function arranged(groups, edges, ends) {
  const places = new Map();
  for (const end of ends) if (end.kind === "node" && end.state === "self") places.set(end.id, { x: 0, y: 0 });
  const discs = [...groups].map(([name, members]) => ({ name, members, radius: GAP * Math.sqrt(members.length) * 0.8 + GAP }));
  const round = discs.reduce((sum, disc) => sum + 2 * disc.radius, 0);
  const largest = Math.max(0, ...discs.map((disc) => disc.radius));
  const distance = Math.max(round / (2 * Math.PI), largest + 2 * GAP);
  let angle = -Math.PI / 2;
  for (const disc of discs) {
    const share = (2 * Math.PI * disc.radius) / (round || 1);
    angle += share;
    const centre = { x: distance * Math.cos(angle), y: distance * Math.sin(angle) };
    disc.members.forEach((end, index) => places.set(end.id, spiral(centre, index, angle)));
    places.set(`group:${disc.name}`, { x: centre.x, y: centre.y - disc.radius - GAP / 4 });
    angle += share;
  }
  const behind = new Map();
  for (const edge of edges.filter((edge) => !edge.target.startsWith("node:"))) {
    if (places.has(edge.target)) continue; // beside the first of its gateways
    const gateway = places.get(edge.source) ?? { x: 0, y: 0 };
    const index = behind.get(edge.source) ?? 0;
    behind.set(edge.source, index + 1);
    const outward = Math.atan2(gateway.y, gateway.x) + (index % 2 ? 1 : -1) * Math.ceil(index / 2) * 0.5;
    places.set(edge.target, { x: gateway.x + 1.3 * GAP * Math.cos(outward), y: gateway.y + 1.3 * GAP * Math.sin(outward) });
  }
  for (const end of ends) if (!places.has(end.id)) places.set(end.id, { x: 0, y: 2 * GAP });
  return places;
}

// Points of a disc, each as far from its neighbours (Vogel 1979); the first two stand side by side as seen from the middle.
function spiral(centre, index, direction) {
  const radius = GAP * 0.8 * Math.sqrt(index + 0.5), angle = direction + Math.PI / 2 + index * Math.PI * (3 - Math.sqrt(5));
  return { x: centre.x + radius * Math.cos(angle), y: centre.y + radius * Math.sin(angle) };
}

function style() {
  const found = getComputedStyle(document.documentElement);
  const colour = (name) => found.getPropertyValue(`--${name}`).trim();
  const of = (selector, more) => ({ selector, style: more });
  const states = ["direct", "relay", "tls", "degraded", "silent", "idle", "self"];
  return [
    of("node", { label: "data(label)", color: colour("text"), "font-size": 13, "text-valign": "bottom", "text-margin-y": 4,
      "min-zoomed-font-size": 7, width: 26, height: 26, shape: "data(shape)", "background-color": colour("idle"),
      "text-outline-color": colour("back"), "text-outline-width": 2 }),
    of("node[!kind]", { shape: "rectangle", "background-opacity": 0, width: 1, height: 1, "font-weight": "bold",
      "text-valign": "center", color: colour("quiet"), "font-size": "data(size)", "min-zoomed-font-size": 0, events: "no" }),
    ...states.map((state) => of(`node[state = "${state}"]`, { "background-color": colour(state) })),
    of('node[state = "silent"]', { "border-width": 4, "border-color": colour("text") }),
    of('node[isLocal = "yes"]', { width: 38, height: 38, "font-weight": "bold" }),
    of("node.selected", { "border-width": 4, "border-color": colour("accent"), "border-style": "double" }),
    of("edge", { width: 2, opacity: "data(opacity)", "line-color": colour("idle"), "curve-style": "straight", label: "data(label)", color: colour("quiet"),
      "font-size": 11, "min-zoomed-font-size": 7, "text-background-color": colour("back"), "text-background-opacity": 0.9,
      "text-background-padding": 1 }),
    ...states.map((state) => of(`edge[state = "${state}"]`, { "line-color": colour(state) })),
    of("edge[?isRelayed]", { "curve-style": "unbundled-bezier", "control-point-distances": [60], "control-point-weights": [0.5] }),
    of('edge[state = "relay"]', { "line-style": "dashed" }),
    of('edge[state = "tls"]', { "line-style": "dotted" }),
    of('edge[state = "silent"]', { "line-style": "dashed", width: 3 }),
    of('edge[state = "idle"], edge[state = "standby"]', { width: 1, opacity: 0.6 }),
    of('edge[state = "standby"]', { "line-style": "dotted" }),
  ];
}
