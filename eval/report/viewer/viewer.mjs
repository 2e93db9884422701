// Gaussians of an asset.ply in a canvas, drawn as segmentdreamer.rasterizer draws them; `npm ci && npm run build`
// bundles this file with Spark and three.js into viewer.js, which is what pages load.
import { SparkRenderer, SplatMesh, modifiers, writeSpz } from "@sparkjsdev/spark";
import { BufferAttribute, BufferGeometry, Group, MathUtils, MeshBasicMaterial, PerspectiveCamera, Points, Scene,
  Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { GLTFExporter } from "three/addons/exporters/GLTFExporter.js";

// Our rasterizer's constants: .3 px^2 of blur without compensation, a cut at 3.33 deviations and at 1/255, an
// order by depth along the view.
const OURS = { preBlurAmount: 0.3, blurAmount: 0, maxStdDev: 3.33, minAlpha: 1 / 255, sortRadial: false };

// Whether a picture has but one color.
const isEmpty = (renderer) => {
  const gl = renderer.getContext(), [width, height] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
  const pixels = new Uint8Array(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  return pixels.every((value, i) => value === pixels[i % 4]);
};

// bytes: of the PLY; view: {radius, fov (radians), elevation (degrees)} of the scored orbit, z up, azimuth 0 at +y.
window.openSplats = async (canvas, bytes, view) => {
  const renderer = new WebGLRenderer({ canvas, alpha: true, antialias: false, preserveDrawingBuffer: true });
  const scene = new Scene(), camera = new PerspectiveCamera(MathUtils.radToDeg(view.fov), 1, 0.01, 100);
  const mesh = new SplatMesh({ fileBytes: bytes, fileName: "asset.ply" });
  const controls = new OrbitControls(camera, canvas);
  let asked = 0;
  const draw = () => { asked ||= requestAnimationFrame(() => { asked = 0; renderer.render(scene, camera); }); };
  const spark = new SparkRenderer({ renderer, onDirty: draw, ...OURS });
  camera.up.set(0, 0, 1);
  controls.addEventListener("change", draw);
  scene.add(spark, mesh);

  const resize = () => {
    renderer.setPixelRatio(devicePixelRatio);
    renderer.setSize(canvas.clientWidth, canvas.clientHeight, false);
    camera.aspect = canvas.clientWidth / canvas.clientHeight;
    camera.updateProjectionMatrix();
    draw();
  };
  // The eye at an azimuth and elevation in degrees, looking from `distance` at `center`.
  const place = (azimuth, elevation = view.elevation ?? 0, distance = view.radius, center = new Vector3()) => {
    const a = MathUtils.degToRad(azimuth), e = MathUtils.degToRad(elevation);
    camera.position.set(Math.sin(a) * Math.cos(e), Math.cos(a) * Math.cos(e), Math.sin(e)).multiplyScalar(distance);
    camera.position.add(center);
    controls.target.copy(center);
    controls.update();
    draw();
  };
  const angles = () => {
    const p = camera.position.clone().sub(controls.target), distance = p.length();
    return [MathUtils.radToDeg(Math.atan2(p.x, p.y)), MathUtils.radToDeg(Math.asin(p.z / distance)), distance];
  };
  const keys = { ArrowLeft: [-6, 0, 1], ArrowRight: [6, 0, 1], ArrowUp: [0, 6, 1], ArrowDown: [0, -6, 1],
    "+": [0, 0, 1 / 1.1], "-": [0, 0, 1.1] };
  canvas.addEventListener("keydown", (event) => {
    const step = keys[event.key], [azimuth, elevation, distance] = angles();
    if (!step) return;
    event.preventDefault();
    if (event.shiftKey && event.key.startsWith("Arrow")) controls.pan(-4 * step[0], 4 * step[1]);
    else place(azimuth + step[0], MathUtils.clamp(elevation + step[1], -89, 89), distance * step[2], controls.target.clone());
  });

  const show = (mode) => {  // "color", "depth" or "normals"
    if (mode === "depth") modifiers.setDepthColor(mesh, view.radius - 1, view.radius + 1, true);
    else if (mode === "normals") modifiers.setWorldNormalColor(mesh);
    else { mesh.worldModifier = undefined; mesh.objectModifier = undefined; mesh.updateGenerator(); }
    draw();
  };
  const backdrop = (color) => { renderer.setClearColor(color, 1); draw(); };
  const points = () => {  // the centers in their colors, y up as glTF has it
    const places = [], colors = [];
    mesh.forEachSplat((_, center, scales, turn, opacity, color) => {
      places.push(center.x, center.y, center.z);
      colors.push(...color.clone().convertSRGBToLinear().toArray(), opacity);
    });
    const geometry = new BufferGeometry(), group = new Group();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(places), 3));
    geometry.setAttribute("color", new BufferAttribute(new Float32Array(colors), 4));
    group.add(new Points(geometry, new MeshBasicMaterial({ vertexColors: true })));
    group.rotation.x = -Math.PI / 2;
    return new GLTFExporter().parseAsync(group, { binary: true });
  };

  backdrop("#ffffff");
  place(0);
  resize();
  new ResizeObserver(resize).observe(canvas);
  await mesh.initialized;
  // Spark sorts and compiles beside, and may say so too early: drawn again until something stands there, and after.
  for (let left = 400; left && isEmpty(renderer); left--) { draw(); await new Promise((done) => setTimeout(done, 150)); }
  for (let i = 0; i < 20; i++) setTimeout(draw, 150 * i);
  return { show, backdrop, place, angles, onTurn: (heard) => controls.addEventListener("change", heard),
    count: mesh.packedSplats.numSplats, spz: () => writeSpz(mesh.packedSplats).fileBytes, points };
};
