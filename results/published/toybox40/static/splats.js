// The splats of an asset: their bytes come as a script, since a page from disk may not read files.
"use strict";
const arrived = {};
const receive = (name, text) => { arrived[name] = text; };

const loadScript = (path) => new Promise((resolve, reject) =>
  document.head.append(make("script", { src: path, onload: resolve, onerror: () => reject(new Error(path)) })));

const loadBytes = async (path, name) => {
  if (!arrived[name]) await loadScript(path);
  const packed = Uint8Array.from(atob(arrived[name]), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const loadSplats = (root, slug) => loadBytes(root + "data/" + slug + ".js", slug);

const hasWebGL = () => { try { return Boolean(document.createElement("canvas").getContext("webgl2")); } catch { return false; } };

// A canvas that shows the PLY's bytes, over what stands in `stage` until it is drawn; null without WebGL.
const showSplats = async (root, stage, bytes, view, name) => {
  if (!hasWebGL()) return null;
  if (!window.openSplats) {
    const code = await loadBytes(root + "static/viewer.js", "viewer");
    await loadScript(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  }
  const canvas = make("canvas", { tabIndex: 0, className: "waiting" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Gaussians of " + name + ": drag, or use the arrow keys (with Shift to move), plus and minus");
  stage.append(canvas);
  try {
    const viewer = await openSplats(canvas, bytes, view);
    if (canvas.isConnected) stage.replaceChildren(canvas);
    return viewer;
  } catch (error) {
    canvas.remove();
    throw error;
  } finally {
    canvas.className = "";
  }
};
