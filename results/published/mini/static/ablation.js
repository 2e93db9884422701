// The slider goes over the variants of an ablation; pictures and figures are those of its stop.
"use strict";
const study = readData(), slider = find("stop");

function show() {
  const stop = study.stops[slider.value], rows = [];
  find("value").textContent = stop;
  for (const [line, variants] of Object.entries(study.lines)) {
    const variant = variants[stop];
    if (!variant) continue;
    const tiles = make("div", { className: "tiles" });
    for (const [prompt, text] of Object.entries(study.prompts)) {
      const slug = variant.pictures[prompt];
      tiles.append(make("a", { className: "tile" + (slug ? "" : " absent"), ...(slug && study.linked && { href: "assets/" + slug + ".html" }) },
        slug ? strip(slug, text) : strip("", variant.failed[prompt] ? "failed: " + variant.failed[prompt] : "not made"), text));
    }
    const told = study.header.map((name, i) => [name, variant.figures[i]]).filter(([, text]) => text && text !== "–");
    const list = make("dl", { className: "facts" });
    list.append(...told.map(([name, text]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: text }))));
    rows.push(make("section", { className: "row" }, make("h2", { textContent: line || stop }), tiles, list));
  }
  find("lines").replaceChildren(...rows);
}
slider.setAttribute("aria-valuetext", "");
slider.addEventListener("input", () => { show(); slider.setAttribute("aria-valuetext", study.stops[slider.value]); });
find("lines").dataset.spin = "on";
show();
turning(find("lines"));
