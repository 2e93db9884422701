// Shared by all pages: the theme, data of the page, and turntables that turn together.
"use strict";
const THEMES = ["auto", "light", "dark"];
const remember = (key, value) => {  // some browsers forbid storage to pages on disk
  try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); } catch { return null; }
};
const setTheme = (theme) => {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  if (button) button.textContent = "Theme: " + theme;
};
setTheme(remember("theme") || "auto");

const find = (id) => document.getElementById(id);
const readData = () => JSON.parse(find("data").textContent);
const make = (tag, given = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), given);
  element.append(...children);
  return element;
};

// A strip of frames side by side, of which the property --turn shows one.
const strip = (slug, text) => {
  const frame = make("div", { className: "spin" });
  if (slug) frame.append(make("img", { src: "img/" + slug + ".webp", alt: text, loading: "lazy", draggable: false }));
  else frame.append(text);
  return frame;
};

// All strips below `root` turn with the slider; a pointer that moves over one turns all, Spin lets them run.
const turning = (root, heard = () => {}) => {
  const slider = find("turn"), button = find("spin"), frames = Number(slider.max) + 1;
  const turn = (to) => {
    slider.value = ((Math.round(to) % frames) + frames) % frames;
    root.style.setProperty("--turn", slider.value);
    heard(slider.value / frames);
  };
  let timer = 0;
  const spin = (on) => {
    clearInterval(timer);
    timer = on ? setInterval(() => turn(Number(slider.value) + 1), 3600 / frames) : 0;
    button.setAttribute("aria-pressed", String(on));
  };
  slider.addEventListener("input", () => { spin(false); turn(Number(slider.value)); });
  button.addEventListener("click", () => spin(!timer));
  root.addEventListener("pointermove", (event) => {
    const over = event.target.closest?.(".spin");
    if (!over || timer) return;
    const box = over.getBoundingClientRect();
    turn((frames - 1) * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  });
  turn(0);
  if (root.dataset.spin === "on" && !matchMedia("(prefers-reduced-motion: reduce)").matches) spin(true);
  return turn;
};

addEventListener("DOMContentLoaded", () => {
  setTheme(document.documentElement.dataset.theme);
  find("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    remember("theme", next);
    setTheme(next);
  });
});
