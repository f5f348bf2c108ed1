// How new a crystal is to a model, in words.

import { listOf, isNumber } from "./text.js";

const UNLIKE = 95; // % of held-out crystals that are nearer to the training data
const UNUSUAL = 80;

export const isAlarming = (property) =>
  (property.unseen_elements?.length ?? 0) > 0 || (isNumber(property.novelty) && property.novelty > UNLIKE);

/** { level: "high" | "middle" | "low" | "unknown", title, detail } */
export function alarmOf(property) {
  const { novelty, unseen_elements: unseen = [] } = property;
  const detail = isNumber(novelty) ? `${shown(novelty)} % of held-out crystals are nearer to the training data` : "";
  if (unseen.length) {
    return { level: "high", title: `No ${listOf(unseen)} in the training data: do not rely on this value`, detail };
  }
  if (!isNumber(novelty)) return { level: "unknown", title: "This model does not know its training data", detail };
  if (novelty > UNLIKE) return { level: "high", title: "Unlike the training data", detail };
  if (novelty > UNUSUAL) return { level: "middle", title: "Unusual among the training data", detail };
  return { level: "low", title: "Like the training data", detail };
}

const shown = (novelty) => (novelty > 99 && novelty < 100 ? novelty.toFixed(1) : novelty.toFixed(0));
