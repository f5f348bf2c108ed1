// The crystal on its canvas: turning, zooming, naming atoms. Mouse, touch and keyboard do the same.

import { atomColours } from "./colours.js";
import { paint, paintAxes, projection } from "./painter.js";
import { cross, dot, lookAlong, orthonormal, product, scaled, turn } from "./rotation.js";
import { buildScene } from "./scene.js";

const STEP = Math.PI / 24; // of one arrow key
const RADIANS_PER_PIXEL = 0.008;

export class CrystalView {
  #canvas;
  #crystal = null;
  #scene = null;
  #colours = [];
  #rotation = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  #zoom = 1;
  #marked = null;
  #waiting = false;
  #rest = null; // timer that runs out when the crystal has come to rest
  #pointers = new Map();

  /** `onname(atom)` is told the atom under the pointer or chosen by key, or null. */
  constructor(canvas, onname) {
    this.#canvas = canvas;
    this.onname = onname;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
    canvas.addEventListener("pointerleave", () => this.#mark(null));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  show(crystal) {
    this.#crystal = crystal;
    this.#scene = null;
    this.reset();
  }

  /** See `buildScene` and `atomColours`. Returns the scene. */
  arrange(options, scheme) {
    this.#scene = buildScene(this.#crystal, options);
    this.#colours = atomColours(this.#crystal, scheme);
    this.#mark(null);
    this.redraw();
    return this.#scene;
  }

  /** c upward, seen from a little beside and above a. */
  reset() {
    const [a, b, c] = this.#crystal.lattice;
    const normal = cross(b, c);
    this.#zoom = 1;
    this.#setRotation(product(turn(-0.42, 0.28), lookAlong(scaled(normal, Math.sign(dot(normal, a))), c)));
  }

  viewAlong(axis) {
    const lattice = this.#crystal.lattice;
    this.#setRotation(lookAlong(lattice[axis], axis === 2 ? lattice[1] : lattice[2]));
  }

  /** A PNG of what is seen, with the background of the page. */
  picture() {
    const canvas = document.createElement("canvas");
    canvas.width = this.#canvas.width;
    canvas.height = this.#canvas.height;
    const context = canvas.getContext("2d");
    context.fillStyle = this.#style().background;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.#canvas, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  /** Of large crystals the bonds come when the turning ends. */
  #redrawMoving() {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#rest = null;
      this.redraw();
    }, 200);
    this.redraw();
  }

  redraw() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      if (this.#scene) this.#paint();
    });
  }

  #setRotation(rotation) {
    this.#rotation = orthonormal(rotation);
    this.#canvas.dataset.rotation = this.#rotation
      .flat()
      .map((x) => x.toFixed(3))
      .join(" ");
    this.#redrawMoving();
  }

  #turn(aboutUp, aboutRight) {
    this.#setRotation(product(turn(aboutUp, aboutRight), this.#rotation));
  }

  #zoomBy(factor) {
    this.#zoom = Math.max(0.4, Math.min(12, this.#zoom * factor));
    this.#canvas.dataset.zoom = this.#zoom.toFixed(2);
    this.#redrawMoving();
  }

  #size() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    return { width, height };
  }

  #style() {
    const style = getComputedStyle(this.#canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    return { background: colour("--surface"), line: colour("--muted"), text: colour("--text") };
  }

  #paint() {
    const { width, height } = this.#size();
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== columns || this.#canvas.height !== rows) {
      this.#canvas.width = columns;
      this.#canvas.height = rows;
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const view = {
      rotation: this.#rotation,
      zoom: this.#zoom,
      width,
      height,
      marked: this.#marked,
      moving: this.#rest !== null,
    };
    const style = this.#style();
    paint(context, this.#scene, this.#colours, view, style);
    paintAxes(context, this.#crystal.lattice, view, style);
  }

  #mark(atom) {
    if (atom === this.#marked) return;
    this.#marked = atom;
    this.onname(atom);
    this.redraw();
  }

  #atomAt(x, y) {
    const { width, height } = this.#size();
    const screen = projection(this.#scene, this.#rotation, this.#zoom, width, height);
    let found = null;
    let nearest = -Infinity;
    for (const atom of this.#scene.atoms) {
      const [left, top, depth, near] = screen.point(atom.position);
      if (depth > nearest && Math.hypot(left - x, top - y) < atom.radius * near) [found, nearest] = [atom, depth];
    }
    return found;
  }

  #press(event) {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (this.#scene) this.#mark(this.#atomAt(event.offsetX, event.offsetY));
  }

  #move(event) {
    if (!this.#scene) return;
    const here = [event.offsetX, event.offsetY];
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      this.#mark(this.#atomAt(...here));
    } else if (this.#pointers.size === 1) {
      this.#turn((here[0] - before[0]) * RADIANS_PER_PIXEL, (here[1] - before[1]) * RADIANS_PER_PIXEL);
    } else {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      this.#zoomBy(spread(here) / (spread(before) || 1));
    }
    if (before) this.#pointers.set(event.pointerId, here);
  }

  #wheel(event) {
    event.preventDefault();
    this.#zoomBy(Math.exp(-event.deltaY * 0.0015));
  }

  #key(event) {
    if (!this.#scene || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => this.#turn(-STEP, 0),
      ArrowRight: () => this.#turn(STEP, 0),
      ArrowUp: () => this.#turn(0, -STEP),
      ArrowDown: () => this.#turn(0, STEP),
      "+": () => this.#zoomBy(1.2),
      "=": () => this.#zoomBy(1.2),
      "-": () => this.#zoomBy(1 / 1.2),
      n: () => this.#step(1),
      p: () => this.#step(-1),
      Escape: () => this.#mark(null),
      0: () => this.reset(),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  #step(by) {
    const { atoms } = this.#scene;
    const now = atoms.indexOf(this.#marked);
    this.#mark(atoms[(now + by + (now < 0 && by < 0 ? 1 : 0) + atoms.length) % atoms.length]);
  }
}
