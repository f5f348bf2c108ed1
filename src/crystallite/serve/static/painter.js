// Draws a scene on a canvas: everything from back to front, spheres as prepared pictures.

import { fromHex, mixed, toHex } from "./colours.js";
import { apply, product } from "./rotation.js";

const SPRITE = 128; // pixels
const FOG_LEVELS = 5;
const FOG = 0.45; // share of the background in the farthest atoms
const EYE = 6; // distance of the eye in radii of the scene
const FILL = 0.54; // of the canvas by the sphere around the scene, whose corners rarely lie in the plane
const BOND_RADIUS = 0.09; // Å
const PLAIN_BONDS = 3_000; // more than these are drawn without shading

const SLOW_BONDS = 4_000; // more than these are left out while the crystal turns

const sprites = new Map();

function sprite(colour, background) {
  const name = `${colour} ${background}`;
  if (!sprites.has(name)) {
    if (sprites.size > 800) sprites.clear();
    sprites.set(name, drawSprite(fromHex(colour)));
  }
  return sprites.get(name);
}

function drawSprite(rgb) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SPRITE;
  const context = canvas.getContext("2d");
  const centre = SPRITE / 2;
  const light = context.createRadialGradient(0.36 * SPRITE, 0.32 * SPRITE, 0, centre, centre, centre);
  light.addColorStop(0, toHex(mixed(rgb, [255, 255, 255], 0.85)));
  light.addColorStop(0.22, toHex(mixed(rgb, [255, 255, 255], 0.3)));
  light.addColorStop(0.55, toHex(rgb));
  light.addColorStop(0.9, toHex(mixed(rgb, [0, 0, 0], 0.35)));
  light.addColorStop(1, toHex(mixed(rgb, [0, 0, 0], 0.5)));
  context.fillStyle = light;
  context.beginPath();
  context.arc(centre, centre, centre - 1, 0, 2 * Math.PI);
  context.fill();
  return canvas;
}

/** How the scene lies on the screen; points are [x, y, depth, magnification]. */
export function projection(scene, rotation, zoom, width, height) {
  const scale = (FILL * zoom * Math.min(width, height)) / scene.radius;
  const eye = EYE * scene.radius;
  return {
    scale,
    point(position) {
      const [x, y, z] = apply(rotation, position);
      const near = (scale * eye) / (eye - z);
      return [width / 2 + x * near, height / 2 - y * near, z, near];
    },
  };
}

/** `style`: { background, line, text } as #rrggbb; `colours`: one per atom of the crystal. */
export function paint(context, scene, colours, view, style) {
  const { rotation, zoom, width, height, marked, moving } = view;
  const screen = projection(scene, rotation, zoom, width, height);
  const points = new Map(scene.atoms.map((atom) => [atom, screen.point(atom.position)]));
  const fogged = makeFog(scene.radius, style);
  const items = [
    ...atomItems(scene, colours, points, style, fogged, marked),
    ...(moving && scene.bonds.length > SLOW_BONDS ? [] : bondItems(scene, colours, points, screen, fogged)),
    ...edgeItems(scene, screen, fogged, style),
  ];
  items.sort((one, other) => one.depth - other.depth);
  for (const item of items) item.paint(context);
}

/** The farther away, the more a colour is like the background. */
function makeFog(radius, style) {
  const background = fromHex(style.background);
  const known = new Map();
  return (colour, depth) => {
    const level = Math.round((FOG_LEVELS * (radius - depth)) / (2 * radius));
    const name = `${colour}${level}`;
    if (!known.has(name)) known.set(name, toHex(mixed(fromHex(colour), background, (FOG * level) / FOG_LEVELS)));
    return known.get(name);
  };
}

const clampFogged = (fogged, radius) => (colour, depth) => fogged(colour, Math.max(-radius, Math.min(radius, depth)));

function atomItems(scene, colours, points, style, fogged, marked) {
  const safe = clampFogged(fogged, scene.radius);
  return scene.atoms.map((atom) => {
    const [x, y, depth, near] = points.get(atom);
    const size = atom.radius * near;
    const picture = sprite(safe(colours[atom.index], depth), style.background);
    return {
      depth,
      paint(context) {
        context.drawImage(picture, x - size, y - size, 2 * size, 2 * size);
        if (atom !== marked) return;
        context.strokeStyle = style.text;
        context.lineWidth = 2;
        context.beginPath();
        context.arc(x, y, size + 2, 0, 2 * Math.PI);
        context.stroke();
      },
    };
  });
}

/** Each bond is two halves in the colours of their atoms, from the surface of a sphere to the middle. */
function bondItems(scene, colours, points, screen, fogged) {
  const plain = scene.bonds.length > PLAIN_BONDS;
  const safe = clampFogged(fogged, scene.radius);
  const items = [];
  for (const { from, to, weight } of scene.bonds) {
    const length = Math.hypot(...to.position.map((x, axis) => x - from.position[axis]));
    const between = (share) => from.position.map((x, axis) => x + share * (to.position[axis] - x));
    const [start, end] = [(0.9 * from.radius) / length, 1 - (0.9 * to.radius) / length];
    if (start >= end) continue;
    const middle = Math.max(start, Math.min(end, (start + end) / 2));
    for (const [atom, near, far] of [
      [from, start, middle],
      [to, middle, end],
    ]) {
      const [x1, y1, z1, size] = screen.point(between(near));
      const [x2, y2, z2] = screen.point(between(far));
      const depth = (z1 + z2) / 2;
      const width = 2 * BOND_RADIUS * size * Math.max(0.25, Math.min(1, weight));
      const colour = safe(colours[atom.index], depth);
      items.push({ depth, paint: (context) => paintRod(context, x1, y1, x2, y2, width, colour, plain) });
    }
  }
  return items;
}

const shades = new Map();

function shadesOf(colour) {
  if (!shades.has(colour)) {
    if (shades.size > 5_000) shades.clear();
    const rgb = fromHex(colour);
    shades.set(colour, [
      [1, toHex(mixed(rgb, [0, 0, 0], 0.45))],
      [0.72, toHex(mixed(rgb, [0, 0, 0], 0.12))],
      [0.28, toHex(mixed(rgb, [255, 255, 255], 0.4))],
    ]);
  }
  return shades.get(colour);
}

function paintRod(context, x1, y1, x2, y2, width, colour, plain) {
  const layers = plain ? [[1, colour]] : shadesOf(colour);
  for (const [share, shade] of layers) {
    context.strokeStyle = shade;
    context.lineWidth = Math.max(0.7, width * share);
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
  }
}

function edgeItems(scene, screen, fogged, style) {
  const safe = clampFogged(fogged, scene.radius);
  return scene.edges.map(([start, end]) => {
    const [x1, y1, z1] = screen.point(start);
    const [x2, y2, z2] = screen.point(end);
    const depth = (z1 + z2) / 2;
    const colour = safe(style.line, depth);
    const paint = (context) => {
      context.lineCap = "round"; // so that the parts of an edge join
      paintRod(context, x1, y1, x2, y2, 1.2, colour, true);
      context.lineCap = "butt";
    };
    return { depth, paint };
  });
}

/** Small arrows of a, b and c in the lower left corner. */
export function paintAxes(context, lattice, view, style) {
  const directions = product(
    view.rotation,
    [0, 1, 2].map((axis) => lattice.map((vector) => vector[axis])),
  );
  const longest = Math.max(...lattice.map((vector) => Math.hypot(...vector)));
  const [x, y] = [46, view.height - 46];
  context.font = "italic 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  ["a", "b", "c"].forEach((name, axis) => {
    const [right, up] = [directions[0][axis], directions[1][axis]];
    const size = Math.hypot(...lattice[axis]);
    const length = 14 + (12 * size) / longest;
    const [dx, dy] = [(length * right) / size, (-length * up) / size];
    paintRod(context, x, y, x + dx, y + dy, 1.6, style.text, true);
    const flat = Math.hypot(dx, dy);
    const reach = flat < 1 ? 0 : (flat + 9) / flat;
    context.fillStyle = style.text;
    context.fillText(name, x + dx * reach - (flat < 1 ? 8 : 0), y + dy * reach);
  });
}
