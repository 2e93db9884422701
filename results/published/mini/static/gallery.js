// Prompts x methods, filtered and sorted; the address keeps what is chosen, so that a figure can link to it.
"use strict";
const data = readData(), form = find("controls");
const metric = Object.fromEntries(data.metrics.map((m) => [m.id, m]));
const titles = Object.fromEntries(data.methods.map((m) => [m.id, m.title]));
const texts = Object.fromEntries(data.prompts.map((p) => [p.id, p]));
const asked = new URLSearchParams(location.hash.slice(1));

const fill = (select, pairs) => select.append(...pairs.map(([value, text]) => make("option", { value, text })));
fill(find("category"), [...new Set(data.prompts.map((p) => p.category))].filter(Boolean).sort().map((c) => [c, c]));
fill(find("sort"), data.metrics.map((m) => [m.id, m.name]));
for (const m of data.methods) {
  const box = make("input", { type: "checkbox", name: "method", value: m.id });
  box.checked = asked.get("method") ? asked.getAll("method").includes(m.id) : !m.control;
  const swatch = make("span", { className: "swatch" });
  swatch.style.setProperty("--method", m.color);
  find("methods").append(make("label", {}, box, " ", m.control ? "" : swatch, " ", m.title));
}
for (const name of ["search", "category", "sort", "show"]) find(name).value = asked.get(name) || "";

// Better first, missing values last.
const better = (id) => (a, b) => {
  const [x, y] = [a.values[id], b.values[id]];
  if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
  return metric[id].down ? x - y : y - x;
};

const tile = (asset, name) => {
  const shown = find("sort").value || (data.metrics[0] || {}).id, value = asset.values[shown];
  const link = make("a", { className: "tile" + (asset.failed ? " absent" : ""), href: "assets/" + asset.slug + ".html" },
    asset.failed ? strip("", "failed: " + asset.failed) : strip(asset.slug, titles[asset.method] + ": " + texts[asset.prompt].text), name);
  if (asset.seed) link.append(", seed " + asset.seed);
  if (value !== undefined) link.append(make("small", { textContent: " " + metric[shown].name + " " + value.toFixed(metric[shown].digits).replace("-", "−") }));
  return link;
};

const row = (heading, tiles) => {
  const grid = make("div", { className: "tiles" });
  grid.append(...tiles);
  return make("section", { className: "row" }, make("h2", { textContent: heading }), grid);
};

// The worst, the median and the best of a list that has the best first.
const three = (list) => [...new Set([list.length - 1, Math.floor((list.length - 1) / 2), 0])].map((i) => list[i]);

function show() {
  const methods = [...form.querySelectorAll("[name=method]:checked")].map((box) => box.value);
  const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean), sort = find("sort").value;
  const fits = (a) => methods.includes(a.method) && (!find("category").value || texts[a.prompt].category === find("category").value)
    && words.every((w) => (a.prompt + " " + texts[a.prompt].text).toLowerCase().includes(w));
  const chosen = data.assets.filter(fits), by = sort || (data.metrics[0] || {}).id, rows = [];
  if (find("show").value) {
    for (const m of methods) {
      const ranked = chosen.filter((a) => a.method === m && a.values[by] !== undefined).sort(better(by));
      if (ranked.length) rows.push(row(titles[m], three(ranked).map((a) => tile(a, texts[a.prompt].text))));
    }
  } else if (sort) {
    const ranked = [...chosen].sort(better(sort));
    rows.push(row(metric[sort].name + ", best first", ranked.map((a) => tile(a, titles[a.method] + ", " + texts[a.prompt].text))));
  } else {
    for (const p of data.prompts) {
      const mine = chosen.filter((a) => a.prompt === p.id);
      if (mine.length) rows.push(row(p.id + ": " + p.text, mine.map((a) => tile(a, titles[a.method]))));
    }
  }
  find("gallery").replaceChildren(...rows);
  find("count").textContent = chosen.length + " of " + data.assets.length + " assets";
  const hash = new URLSearchParams(methods.map((m) => ["method", m]));
  for (const name of ["search", "category", "sort", "show"]) if (find(name).value) hash.set(name, find(name).value);
  history.replaceState(null, "", "#" + hash);
}
form.addEventListener("input", (event) => { if (event.target.id !== "turn") show(); });
form.addEventListener("submit", (event) => event.preventDefault());
find("gallery").dataset.spin = "on";
show();
turning(find("gallery"));
