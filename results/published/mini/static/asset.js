// One asset: its Gaussians, what can be saved of them, and its turntable.
"use strict";
const data = readData(), video = document.querySelector("#turntable video"), spin = document.querySelector("#turntable .spin");
const say = (text) => { find("said").textContent = text; };

const save = (content, ending) => {
  const link = make("a", { href: URL.createObjectURL(new Blob([content])), download: data.slug + ending });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

const open = async (bytes) => {
  const viewer = await showSplats("../", find("stage"), bytes, data.view, data.slug);
  find("viewer").hidden = false;
  find("ply").addEventListener("click", () => save(bytes, ".ply"));
  for (const id of ["mode", "background", "reset", "spz", "glb"]) find(id).disabled = !viewer;
  if (!viewer) { fallBack("This browser has no WebGL: the turntable shows the asset."); return; }
  find("mode").addEventListener("change", (event) => viewer.show(event.target.value));
  find("background").addEventListener("change", (event) => viewer.backdrop(event.target.value));
  find("reset").addEventListener("click", () => viewer.place(0));
  find("spz").addEventListener("click", () => save(viewer.spz(), ".spz"));
  find("glb").addEventListener("click", async () => save(await viewer.points(), ".glb"));
  say(viewer.count + " Gaussians. Drag to turn, wheel or pinch to zoom, right button or two fingers to move; "
    + "or arrow keys, plus and minus, Shift with arrow keys.");
  window.viewer = viewer;
};

// The turntable in the viewer's place.
const fallBack = (text) => {
  find("stage").replaceChildren(spin.cloneNode(true));
  find("stage").firstChild.hidden = false;
  say(text);
};

const begin = async () => {
  try {
    await open(await loadSplats("../", data.slug));
  } catch (error) {
    fallBack(error.message.includes("data/") ? "This report does not have the splats of this asset."
      : "The Gaussians cannot be shown (" + error.message + "): the turntable shows the asset.");
    find("bring").hidden = !hasWebGL() || !data.sha256;
  }
};

if (find("stage")) {
  find("file").addEventListener("change", async (event) => open(new Uint8Array(await event.target.files[0].arrayBuffer())));
  const turn = turning(document.querySelector(".viewing"), (share) => {
    if (video && video.duration) video.currentTime = share * video.duration;
  });
  if (video) video.addEventListener("error", () => { video.hidden = true; spin.hidden = false; });
  turn(0);
  fallBack("The Gaussians are being drawn.");
  begin();
}
