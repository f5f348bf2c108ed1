// What of a crystal is drawn: atoms of some cells, bonds between them, edges of the cells; all in Å around the middle.

import { radiusOf } from "./elements.js";
import { added, scaled } from "./rotation.js";

export const MAX_ATOMS = 5_000;
export const MAX_BONDS = 20_000;

const ON_FACE = 0.02; // Å; atoms this near to a face of the cell are on it
const NONMETALS = new Set([
  "H",
  "He",
  "B",
  "C",
  "N",
  "O",
  "F",
  "Ne",
  "Si",
  "P",
  "S",
  "Cl",
  "Ar",
  "Ge",
  "As",
  "Se",
  "Br",
  "Kr",
  "Te",
  "I",
  "Xe",
]);

/** Drawn radius in Å: large enough to tell elements apart, small enough to see the bonds. */
export const drawnRadius = (element) => 0.2 + 0.25 * radiusOf(element);

export const atomsInCells = (crystal, cells) => crystal.atoms.length * cells[0] * cells[1] * cells[2];

/**
 * `options`: cells [along a, b, c]; complete: repeat atoms on faces at the opposite ones; bonds "near", "all" or "none".
 * Each atom of the scene has `index`, its number in crystal.atoms.
 */
export function buildScene(crystal, { cells, complete, bonds }) {
  const place = (f) =>
    added(added(scaled(crystal.lattice[0], f[0]), scaled(crystal.lattice[1], f[1])), scaled(crystal.lattice[2], f[2]));
  const wrapped = wrapAtoms(crystal);
  const middle = place(cells.map((count) => count / 2));
  const centred = (f) => added(place(f), scaled(middle, -1));
  const atoms = placeAtoms(crystal, wrapped, cells, complete, centred);
  const edges = cellEdges(cells, centred);
  const parts = edges.length > 60 ? 10 : 24;
  const drawn = bonds === "none" ? [] : placeBonds(chosenBonds(crystal, bonds), wrapped, atoms);
  const tooMany = drawn.length > MAX_BONDS;
  const corners = [...edges.flat(), ...atoms.map((atom) => atom.position)];
  return {
    atoms,
    bonds: tooMany ? [] : drawn,
    edges: edges.flatMap((edge) => partsOutsideAtoms(edge, parts, atoms)),
    tooManyBonds: tooMany,
    radius: Math.max(1, ...corners.map((point) => Math.hypot(...point))) + 0.6,
  };
}

/** Fractional coordinates in [0, 1), and the lattice vectors that were taken off. */
function wrapAtoms(crystal) {
  const lengths = crystal.lattice.map((vector) => Math.hypot(...vector));
  const tolerances = lengths.map((length) => ON_FACE / length);
  const wrapped = crystal.atoms.map(({ fractional }) => {
    const shift = fractional.map((x, axis) => Math.floor(x + tolerances[axis]));
    return { shift, fractional: fractional.map((x, axis) => x - shift[axis]) };
  });
  wrapped.tolerances = tolerances;
  return wrapped;
}

const key = (index, cell) => `${index} ${cell[0]} ${cell[1]} ${cell[2]}`;

function placeAtoms(crystal, wrapped, cells, complete, centred) {
  const atoms = [];
  atoms.byKey = new Map();
  wrapped.forEach(({ fractional }, index) => {
    const counts = cells.map((count, axis) =>
      complete && fractional[axis] < wrapped.tolerances[axis] ? count + 1 : count,
    );
    for (let i = 0; i < counts[0]; i++)
      for (let j = 0; j < counts[1]; j++)
        for (let k = 0; k < counts[2]; k++) {
          const cell = [i, j, k];
          const element = crystal.atoms[index].element;
          const atom = {
            index,
            cell,
            element,
            position: centred(added(fractional, cell)),
            radius: drawnRadius(element),
          };
          atoms.byKey.set(key(index, cell), atom);
          atoms.push(atom);
        }
  });
  return atoms;
}

/** The bonds of the graph whose two ends are drawn. */
function placeBonds(bonds, wrapped, atoms) {
  const ofAtom = new Map();
  for (const bond of bonds) ofAtom.set(bond.first, [...(ofAtom.get(bond.first) ?? []), bond]);
  const placed = [];
  for (const from of atoms) {
    for (const bond of ofAtom.get(from.index) ?? []) {
      const step = bond.image.map((x, axis) => x + wrapped[bond.second].shift[axis] - wrapped[bond.first].shift[axis]);
      const to = atoms.byKey.get(key(bond.second, added(from.cell, step)));
      if (to) placed.push({ from, to, weight: bond.weight });
    }
  }
  return placed;
}

function chosenBonds(crystal, which) {
  return which === "all" ? crystal.bonds : nearBonds(crystal);
}

/**
 * The bonds that a chemist would draw. The graph joins each atom to some twelve neighbours; of these, every atom keeps
 * its nearest, nonmetals those as long as covalent bonds, metals those to nonmetals, or, without any, to metals.
 */
function nearBonds(crystal) {
  const elements = crystal.atoms.map((atom) => atom.element);
  const nearest = elements.map(() => ({ length: Infinity, nonmetal: false }));
  for (const { first, second, length } of crystal.bonds) {
    for (const [one, other] of [
      [first, second],
      [second, first],
    ]) {
      if (length < nearest[one].length) nearest[one] = { length, nonmetal: NONMETALS.has(elements[other]) };
    }
  }
  return crystal.bonds.filter(({ first, second, length }) => {
    const [a, b] = [nearest[first], nearest[second]];
    const longer = Math.max(a.length, b.length);
    if (length <= 1.01 * longer) return true;
    const nonmetals = NONMETALS.has(elements[first]) + NONMETALS.has(elements[second]);
    if (nonmetals === 2) return length <= 1.15 * (radiusOf(elements[first]) + radiusOf(elements[second]));
    if (nonmetals === 1) return length <= 1.3 * longer;
    return !a.nonmetal && !b.nonmetal && length <= 1.12 * longer;
  });
}

/** An edge in short parts, each before or behind an atom; those inside of atoms are left out. */
function partsOutsideAtoms([start, end], count, atoms) {
  const along = added(end, scaled(start, -1));
  const at = (share) => added(start, scaled(along, share));
  const length = Math.hypot(...along);
  const middle = at(0.5);
  const near = atoms.filter(({ position, radius }) => distance(position, middle) < length / 2 + radius);
  return Array.from({ length: count }, (_, part) => [at(part / count), at((part + 1) / count)]).filter(([from, to]) => {
    const centre = scaled(added(from, to), 0.5);
    return !near.some(({ position, radius }) => distance(position, centre) < radius);
  });
}

const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** Edges of every cell, each once, as pairs of points. */
function cellEdges(cells, centred) {
  const edges = [];
  for (let axis = 0; axis < 3; axis++) {
    const [other, another] = [0, 1, 2].filter((x) => x !== axis);
    for (let i = 0; i <= cells[other]; i++)
      for (let j = 0; j <= cells[another]; j++)
        for (let k = 0; k < cells[axis]; k++) {
          const start = [0, 0, 0];
          start[other] = i;
          start[another] = j;
          start[axis] = k;
          const end = [...start];
          end[axis] = k + 1;
          edges.push([centred(start), centred(end)]);
        }
  }
  return edges;
}
