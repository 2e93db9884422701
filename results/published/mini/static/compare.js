// Two methods on one prompt under one orbit: their splats, or, without them, their turntables.
"use strict";
const data = readData(), titles = Object.fromEntries(data.methods.map((m) => [m.id, m.title]));
const asked = new URLSearchParams(location.hash.slice(1)), sides = { one: "left", two: "right" };
let viewers = {}, chosen = 0;

find("prompt").append(...data.prompts.map((p) => make("option", { value: p.id, text: p.id + ": " + p.text })));
for (const side of Object.values(sides)) {
  find(side).append(...data.methods.map((m) => make("option", { value: m.id, text: m.title })));
}
const methods = data.methods.filter((m) => !m.control).map((m) => m.id);
find("prompt").value = asked.get("prompt") || (data.prompts[0] || {}).id;
find("left").value = asked.get("left") || methods[0];
find("right").value = asked.get("right") || methods.at(-1);

// One camera: what turns one turns the other.
let following = false;
const follow = (from) => () => {
  if (following) return;
  following = true;
  for (const [key, other] of Object.entries(viewers)) if (other !== from) other.place(...from.angles());
  following = false;
};

async function show() {
  const turn = ++chosen;
  viewers = {};
  history.replaceState(null, "", "#" + new URLSearchParams({ prompt: find("prompt").value, left: find("left").value, right: find("right").value }));
  for (const [id, side] of Object.entries(sides)) {
    const asset = data.assets.find((a) => a.method === find(side).value && a.prompt === find("prompt").value);
    const stage = find(id).querySelector(".stage"), caption = find(id).querySelector("figcaption");
    caption.replaceChildren();
    if (!asset || asset.failed) { stage.replaceChildren(asset ? "failed: " + asset.failed : "not made yet"); continue; }
    stage.replaceChildren(strip(asset.slug, titles[asset.method]));
    caption.append(make("a", { href: "assets/" + asset.slug + ".html", textContent: titles[asset.method] }));
    const shown = data.metrics.filter((m) => asset.values[m.id] !== undefined);
    caption.append(make("small", { textContent: shown.map((m) => m.name + " " + asset.values[m.id].toFixed(m.digits).replace("-", "−")).join(", ") }));
    try {
      const bytes = await loadSplats("", asset.slug);
      if (turn !== chosen) return;
      const viewer = await showSplats("", stage, bytes, data.view, titles[asset.method]);
      if (!viewer || turn !== chosen) continue;
      viewers[id] = viewer;
      viewer.onTurn(follow(viewer));
    } catch { /* the turntable stays */ }
  }
  window.viewers = viewers;
}
find("controls").addEventListener("change", (event) => { if (event.target.id !== "turn") show(); });
turning(document.querySelector(".pair"), (share) => { for (const viewer of Object.values(viewers)) viewer.place(360 * share); });
show();
