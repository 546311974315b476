// What the page measures of a network while it trains.
import { probabilities } from "./net.js";

export const LEVELS = [0, 0.2, 0.4, 0.6, 0.8, 1]; // deviations of the corruption of test points
export const BINS = 10;
const RISE = 1.1, FALL = 0.5; // as in `method.phase` of the chapter on noise nodes

/** Share of points in percent on whose class the probabilities `p` of class 1 decide. */
export function accuracy(p, y) {
  let right = 0;
  for (let i = 0; i < y.length; i++) right += Number(p[i] > 0.5 === (y[i] === 1));
  return (100 * right) / y.length;
}

/** Mean cross-entropy of the probabilities `p` of class 1; what rounds to impossible counts as 1e-16, as p knows no better. */
export function crossEntropy(p, y) {
  let sum = 0;
  for (let i = 0; i < y.length; i++) sum -= Math.log(Math.max(y[i] ? p[i] : 1 - p[i], 1e-16));
  return sum / y.length;
}

/** Reliability: for each filled bin of confidence, its mean confidence, accuracy and share of the points. */
export function reliability(p, y, bins = BINS) {
  const found = Array.from({ length: bins }, () => [0, 0, 0]);
  for (let i = 0; i < y.length; i++) {
    const confidence = Math.max(p[i], 1 - p[i]), bin = found[Math.min(bins, Math.ceil(confidence * bins)) - 1];
    bin[0] += confidence;
    bin[1] += Number(p[i] > 0.5 === (y[i] === 1));
    bin[2] += 1;
  }
  return found.filter(([, , n]) => n).map(([confidence, right, n]) => ({ confidence: confidence / n, accuracy: right / n, share: n / y.length }));
}

/** Expected calibration error in percent. */
export const calibrationError = (bins) => 100 * bins.reduce((sum, { confidence, accuracy: right, share }) => sum + share * Math.abs(right - confidence), 0);

/**
 * Distance to the nearest point of a map that belongs to the other class, for the points that are right: their median.
 * `map` {size, reach, p}: probabilities at the middles of size x size squares over [-reach, reach]², row by row from
 * x2 = -reach on. Exact to half a square's diagonal; null where no point is right, Infinity where the map has one class.
 */
export function margin({ size, reach, p }, { x, y }, own) {
  const step = (2 * reach) / size, sides = [[], []];
  for (let k = 0; k < p.length; k++) sides[Number(p[k] > 0.5)].push(-reach + step * ((k % size) + 0.5), -reach + step * (Math.floor(k / size) + 0.5));
  const found = [];
  for (let i = 0; i < y.length; i++) {
    if (own[i] > 0.5 !== (y[i] === 1)) continue;
    const other = sides[1 - y[i]];
    let least = Infinity;
    for (let k = 0; k < other.length; k += 2) least = Math.min(least, (other[k] - x[2 * i]) ** 2 + (other[k + 1] - x[2 * i + 1]) ** 2);
    found.push(Math.sqrt(least));
  }
  found.sort((a, b) => a - b);
  return found.length ? found[Math.floor(found.length / 2)] : null;
}

/** The phase of a run with a noise node, from the noisy loss and the node's norm, each from the start on. */
export function phase(losses, norms) {
  const last = losses.length - 1;
  if (![...losses, ...norms].every(Number.isFinite) || losses[last] > RISE * losses[0]) return "divergent";
  if (Math.max(...losses) > RISE * losses[0]) return "catapult";
  return norms[norms.length - 1] < FALL * norms[0] ? "decay" : "decoupled";
}

/** Accuracy at each of `LEVELS`: test points moved by deviation times `moves`, normal numbers, the same for all. */
export function underCorruption(net, weights, { x, y }, moves, strength, passes) {
  return LEVELS.map((level) => accuracy(probabilities(net, weights, x.map((v, k) => v + level * moves[k]), strength, passes), y));
}
