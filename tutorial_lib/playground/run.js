// Two networks that train on the same points, from the same weights, in the same batches.
import { LEVELS, accuracy, calibrationError, crossEntropy, margin, phase, reliability, underCorruption } from "./measures.js";
import { NOISES, descend, deviations, drawsOf, initialise, lossAndGradient, nodeNorm, probabilities } from "./net.js";
import { points } from "./points.js";
import { normals, shuffled, uniforms } from "./random.js";
import { strengthOf } from "./state.js";

export const SIDES = ["left", "right"], TESTS = 500, SIZE = 60, REACH = 3;

/** A side of the world: its network, and what it has gone through. */
function side(state, kind) {
  const net = { widths: Array(state.layers).fill(state.width), activation: state.activation, noise: kind, strength: strengthOf(state, kind) };
  const weights = initialise(net, normals(uniforms(8 * state.seed + 1)), normals(uniforms(8 * state.seed + 2)));
  const uniform = uniforms(8 * state.seed + 3);
  const found = { net, weights, gradient: new Float64Array(weights.length), draw: NOISES[kind].draws === "normal" ? normals(uniform) : uniform };
  return Object.assign(found, { sum: 0, count: 0, passes: [], dead: false });
}

const draws = (of, count) => Float64Array.from({ length: drawsOf(of.net) * count }, of.draw);

/** Points, test points and networks as the settings have them; nothing is trained yet. */
export function begin(state) {
  const train = points(state.data, state.size, state.spread, 8 * state.seed), test = points(state.data, TESTS, state.spread, 8 * state.seed + 4);
  const normal = normals(uniforms(1e6)), moves = Float64Array.from(test.x, normal), order = uniforms(8 * state.seed + 5);
  const world = { train, test, moves, order, queue: [], step: 0, history: [], every: 1, sides: SIDES.map((name) => side(state, state[name])) };
  for (const of of world.sides) { // the noisy loss before the first step
    const whole = Array.from({ length: state.size }, (_, k) => k);
    passed(of, 0, lossAndGradient(of.net, of.weights, train, whole, draws(of, state.size), of.gradient));
  }
  return world;
}

/** Notes a pass through the points: its mean noisy loss, and the norm of the node. Long runs keep the larger of two. */
function passed(of, step, loss) {
  of.passes.push({ step, loss, norm: of.net.noise === "node" ? nodeNorm(of.net, of.weights) : 0 });
  if (of.passes.length > 1000) of.passes = of.passes.filter((one, k, all) => k === 0 || k + 1 === all.length || !(one.loss < all[k % 2 ? k + 1 : k - 1].loss));
}

/** One step of gradient descent of both networks, on the same batch; a pass through the points is a step of the phase's. */
export function step(world, state) {
  while (world.queue.length < state.batch) world.queue.push(...shuffled(state.size, world.order));
  const batch = world.queue.splice(0, state.batch);
  world.step += 1;
  for (const of of world.sides) {
    if (of.dead) continue;
    of.net.strength = strengthOf(state, of.net.noise);
    of.sum += descend(of.net, of.weights, world.train, batch, draws(of, batch.length), state.rate, of.gradient) * batch.length;
    of.count += batch.length;
    of.dead = !Number.isFinite(of.sum) || !of.weights.every(Number.isFinite);
    if (of.count >= state.size || of.dead) {
      passed(of, world.step, of.dead ? Infinity : of.sum / of.count);
      of.sum = of.count = 0;
    }
  }
}

/** Strength and draws of a network's noise at inference: activation noise alone has any. All points share a draw. */
export function inference(of, state, seed = 0) {
  if (of.net.noise !== "activation" || state.test === 0) return [0, [[]]];
  const normal = normals(uniforms(2e6 + seed)), each = drawsOf(of.net);
  return [state.test, Array.from({ length: state.n }, () => Float64Array.from({ length: each }, normal))];
}

const MIDDLES = Float64Array.from({ length: 2 * SIZE * SIZE }, (_, k) => {
  const square = k >> 1, place = k % 2 ? Math.floor(square / SIZE) : square % SIZE;
  return -REACH + ((2 * REACH) / SIZE) * (place + 0.5);
});

/** Probabilities of class 1 over the plane, as `margin` takes them. */
export const mapOf = (of, state, seed) => ({ size: SIZE, reach: REACH, p: probabilities(of.net, of.weights, MIDDLES, ...inference(of, state, seed)) });

/** All that is told of one network; of one that has diverged, only that. */
export function measure(world, state, of, map) {
  const { train, test, moves } = world, { passes } = of, how = inference(of, state, world.step), p = probabilities(of.net, of.weights, test.x, ...how);
  of.dead = of.dead || !p.every(Number.isFinite); // weights may be finite, and what they make not
  if (of.dead) return { dead: true, phase: of.net.noise === "node" ? "divergent" : null };
  const q = probabilities(of.net, of.weights, train.x, ...how), bins = reliability(p, test.y);
  return {
    dead: false, noisyLoss: passes[passes.length - 1].loss, trainLoss: crossEntropy(q, train.y), testLoss: crossEntropy(p, test.y), trainAccuracy: accuracy(q, train.y), testAccuracy: accuracy(p, test.y),
    corrupted: underCorruption(of.net, of.weights, test, moves, ...how), levels: LEVELS, bins, calibration: calibrationError(bins),
    margin: margin(map, test, p), phase: of.net.noise === "node" ? phase(passes.map(({ loss }) => loss), passes.map(({ norm }) => norm)) : null,
    norm: of.net.noise === "node" ? nodeNorm(of.net, of.weights) : of.net.noise === "learned" ? deviations(of.net, of.weights, train) : null,
  };
}

/** Keep what was measured, at most 200 times, evenly over the steps. */
export function remember(world, measured) {
  const { history } = world;
  if (history.length && world.step < history[history.length - 1].step + world.every) return;
  history.push({ step: world.step, sides: measured });
  if (history.length > 200) {
    world.history = history.filter((_, k) => k % 2 === 0);
    world.every = Math.max(1, Math.round((2 * world.step) / history.length));
  }
}
