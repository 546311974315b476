// A network from the plane to one logit, its noises, and the gradient of its loss: all in one flat list of weights.
//
// A network is {widths, activation, noise, strength}: sizes of its hidden layers, "tanh" or "ReLU", the kind of noise
// (see NOISES) and how strong. Draws are handed in, so that a step can be repeated: a list of `drawsOf` numbers a point.
// The probability of class 1 is σ(f), f the logit; the loss is the mean cross-entropy, with the penalty if there is one.

export const GENERATOR = 8; // hidden units (tanh) of the generator of learned noise
const FLOOR = 1e-6, GAMMA = 0.005; // of the variance of learned noise; 0.01 / |Y| (VPN, section 4.1)

/** What each kind draws for a point, "normal" or "uniform", and how many numbers for `layers` hidden layers of `units` in all. */
export const NOISES = {
  none: { draws: "normal", count: () => 0 },
  activation: { draws: "normal", count: (units) => units }, // h + α z behind every hidden layer (eq. 1)
  gaussian: { draws: "normal", count: (units) => 2 + units }, // h + σ z at the data and behind every hidden layer
  penalty: { draws: "normal", count: () => 0 }, // in its place ½ σ² Σ_k Tr(J_kᵀ H_L J_k) is added to the loss
  dropout: { draws: "uniform", count: (units) => units }, // h M / (1 - p)
  random: { draws: "uniform", count: (units, layers) => layers + units }, // the same with ρ ~ U(0, p), drawn for each point and layer
  node: { draws: "normal", count: () => 1 }, // z + ε W_NI behind the first layer's weights, ε ~ N(0, σ²)
  learned: { draws: "normal", count: () => 2 }, // x + ε, ε ~ N(0, Σ(x + γ y)), Σ learned
};

const total = (numbers) => numbers.reduce((sum, v) => sum + v, 0);

/** How many random numbers a point takes. */
export const drawsOf = (net) => NOISES[net.noise].count(total(net.widths), net.widths.length);

/** Where each layer's weights [rows, columns] and biases begin in the flat list, and how long that is. */
export function layout({ widths, noise }) {
  let at = 0;
  const layer = (rows, columns) => {
    const found = { rows, columns, w: at, b: at + rows * columns };
    at += rows * columns + rows;
    return found;
  };
  const layers = [...widths, 1].map((rows, k) => layer(rows, k ? widths[k - 1] : 2));
  const node = noise === "node" ? at : -1;
  if (noise === "node") at += widths[0];
  const generator = noise === "learned" ? [layer(GENERATOR, 2), layer(2, GENERATOR)] : null;
  return { layers, node, generator, count: at };
}

/** Weights of N(0, 1 / inputs), biases 0; the node's of N(0, 1/3); the generator starts at noise of about `strength`. */
export function initialise(net, normal, more) {
  const { layers, node, generator, count } = layout(net), weights = new Float64Array(count);
  const fill = (where, how, deviation, draw) => {
    for (let k = 0; k < how; k++) weights[where + k] = deviation * draw();
  };
  for (const { rows, columns, w } of layers) fill(w, rows * columns, 1 / Math.sqrt(columns), normal);
  if (node >= 0) fill(node, net.widths[0], 1 / Math.sqrt(3), more);
  if (generator) {
    const [first, last] = generator;
    fill(first.w, first.rows * first.columns, 1 / Math.sqrt(2), more);
    fill(last.w, last.rows * last.columns, 0.1 / Math.sqrt(GENERATOR), more);
    for (let k = 0; k < 2; k++) weights[last.b + k] = Math.log(Math.expm1(Math.max(1e-3, net.strength ** 2))); // softplus of it
  }
  return weights;
}

const softplus = (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
export const sigmoid = (v) => (v >= 0 ? 1 / (1 + Math.exp(-v)) : 1 - 1 / (1 + Math.exp(v)));

/** Room for one point's pass: inputs and outputs of layers, factors, and what flows back. */
function room({ widths }) {
  const of = (sizes) => sizes.map((size) => new Float64Array(size));
  return { h: of([2, ...widths]), factor: of([2, ...widths]), back: of([2, ...widths]), slope: of(widths), bend: of(widths),
    g: of([2, ...widths]), more: of(widths), hidden: new Float64Array(GENERATOR), deviation: new Float64Array(2), raw: new Float64Array(2) };
}

const rooms = new Map();
function roomOf(net) {
  const key = net.widths.join();
  if (!rooms.has(key)) rooms.set(key, room(net));
  return rooms.get(key);
}

/** Σ of the learned noise at one point, as deviations: √(softplus(generator(x + γ y)) + floor). */
function generate(weights, [first, last], x1, x2, y, r) {
  for (let i = 0; i < first.rows; i++) {
    r.hidden[i] = Math.tanh(weights[first.b + i] + weights[first.w + 2 * i] * (x1 + GAMMA * y) + weights[first.w + 2 * i + 1] * (x2 + GAMMA * y));
  }
  for (let k = 0; k < 2; k++) {
    let sum = weights[last.b + k];
    for (let i = 0; i < first.rows; i++) sum += weights[last.w + k * first.rows + i] * r.hidden[i];
    r.raw[k] = sum;
    r.deviation[k] = Math.sqrt(softplus(sum) + FLOOR);
  }
}

/**
 * The logit of one point, with noise of `strength` made of the numbers draws[at], …; leaves in the room `r` what the
 * way back needs. Strength 0 is no noise: the network as it is.
 */
function pass(net, plan, weights, x1, x2, y, strength, draws, at, r) {
  const { noise, activation } = net, { layers } = plan, relu = activation === "ReLU";
  let drop = 0;
  r.h[0][0] = x1;
  r.h[0][1] = x2;
  const noisy = strength > 0;
  if (noisy && noise === "gaussian") {
    r.h[0][0] += strength * draws[at++];
    r.h[0][1] += strength * draws[at++];
  } else if (noisy && noise === "learned") {
    generate(weights, plan.generator, x1, x2, y, r);
    r.h[0][0] += r.deviation[0] * draws[at++];
    r.h[0][1] += r.deviation[1] * draws[at++];
  } else if (noisy && noise === "dropout") drop = strength;
  const adds = noisy && (noise === "activation" || noise === "gaussian"), masks = noisy && (noise === "dropout" || noise === "random");
  for (let k = 0; k < net.widths.length; k++) {
    const { rows, columns, w, b } = layers[k], before = r.h[k], after = r.h[k + 1], factor = r.factor[k + 1];
    if (noisy && noise === "random") drop = strength * draws[at++];
    for (let i = 0; i < rows; i++) {
      let sum = weights[b + i], row = w + i * columns;
      for (let j = 0; j < columns; j++) sum += weights[row + j] * before[j];
      if (noisy && k === 0 && noise === "node") sum += strength * draws[at] * weights[plan.node + i];
      const value = relu ? Math.max(0, sum) : Math.tanh(sum);
      r.slope[k][i] = relu ? Number(sum > 0) : 1 - value * value;
      r.bend[k][i] = relu ? 0 : -2 * value * (1 - value * value);
      factor[i] = masks ? (draws[at++] >= drop ? 1 / (1 - drop) : 0) : 1;
      after[i] = value * factor[i] + (adds ? strength * draws[at++] : 0);
    }
  }
  const last = layers[layers.length - 1], before = r.h[net.widths.length];
  let logit = weights[last.b];
  for (let j = 0; j < last.columns; j++) logit += weights[last.w + j] * before[j];
  return logit;
}

/** Probabilities of class 1 for points [x1, x2, …]: the mean over `passes`, lists of draws that all points share. */
export function probabilities(net, weights, x, strength = 0, passes = [[]]) {
  const plan = layout(net), r = roomOf(net), found = new Float64Array(x.length / 2);
  for (const draws of passes) {
    for (let i = 0; i < found.length; i++) {
      found[i] += sigmoid(pass(net, plan, weights, x[2 * i], x[2 * i + 1], 0, strength, draws, 0, r));
    }
  }
  return found.map((sum) => sum / passes.length);
}

/** Mean deviation of the learned noise over points of both coordinates. */
export function deviations(net, weights, { x, y }) {
  const { generator } = layout(net), r = roomOf(net);
  let sum = 0;
  for (let i = 0; i < y.length; i++) {
    generate(weights, generator, x[2 * i], x[2 * i + 1], y[i], r);
    sum += (r.deviation[0] + r.deviation[1]) / (2 * y.length);
  }
  return sum;
}

/** Length of the noise node's weights W_NI. */
export function nodeNorm(net, weights) {
  const { node } = layout(net);
  return Math.hypot(...weights.subarray(node, node + net.widths[0]));
}

/** The loss on the points numbered `index` and, into `gradient`, its gradient; draws: `drawsOf` numbers a point, in order. */
export function lossAndGradient(net, weights, { x, y }, index, draws, gradient) {
  const plan = layout(net), r = roomOf(net), { layers } = plan, depth = net.widths.length;
  const out = layers[depth], each = drawsOf(net), share = 1 / index.length;
  let loss = 0;
  gradient.fill(0);
  index.forEach((i, position) => {
    const at = position * each, label = y[i];
    const logit = pass(net, plan, weights, x[2 * i], x[2 * i + 1], label, net.strength, draws, at, r), p = sigmoid(logit);
    loss += share * (softplus(logit) - label * logit);
    let error = share * (p - label);
    r.more.forEach((layer) => layer.fill(0));
    if (net.noise === "penalty") {
      const weight = (share * net.strength ** 2 * p * (1 - p)) / 2, squares = penalise(weights, layers, r, weight, gradient);
      loss += weight * squares;
      error += weight * squares * (1 - 2 * p);
    }
    // the way back
    gradient[out.b] += error;
    for (let j = 0; j < out.columns; j++) {
      gradient[out.w + j] += error * r.h[depth][j];
      r.back[depth][j] = error * weights[out.w + j];
    }
    for (let k = depth - 1; k >= 0; k--) {
      const { rows, columns, w, b } = layers[k], below = r.back[k].fill(0);
      for (let m = 0; m < rows; m++) {
        const a = r.back[k + 1][m] * r.factor[k + 1][m] * r.slope[k][m] + r.more[k][m], row = w + m * columns;
        gradient[b + m] += a;
        if (k === 0 && plan.node >= 0 && net.strength > 0) gradient[plan.node + m] += a * net.strength * draws[at];
        for (let j = 0; j < columns; j++) {
          gradient[row + j] += a * r.h[k][j];
          below[j] += a * weights[row + j];
        }
      }
    }
    if (plan.generator && net.strength > 0) teach(weights, plan.generator, x[2 * i], x[2 * i + 1], label, draws, at, r, gradient);
  });
  return loss;
}

/**
 * Adds the gradient of weight · Σ_k ||∂f/∂h_k||² (h_0 the data, h_k the hidden layers), `weight` held fixed, to
 * `gradient`, leaves its part in the layers' sums in r.more, and returns Σ_k ||∂f/∂h_k||². This is eq. (10) of
 * "Explicit Regularisation in Gaussian Noise Injections": for one logit H_L = p (1 - p), a number.
 */
function penalise(weights, layers, r, weight, gradient) {
  const depth = layers.length - 1, out = layers[depth];
  let squares = 0;
  for (let j = 0; j < out.columns; j++) r.g[depth][j] = weights[out.w + j];
  for (let k = depth - 1; k >= 0; k--) { // g_k = W_kᵀ (φ'(a_k) ⊙ g_(k+1))
    const { rows, columns, w } = layers[k], g = r.g[k].fill(0);
    for (let m = 0; m < rows; m++) {
      const u = r.slope[k][m] * r.g[k + 1][m];
      for (let j = 0; j < columns; j++) g[j] += weights[w + m * columns + j] * u;
    }
  }
  for (const g of r.g) for (const v of g) squares += v * v;
  let bar = r.g[0].map((v) => 2 * weight * v); // the derivative in g_k, from k = 0 on
  for (let k = 0; k < depth; k++) {
    const { rows, columns, w } = layers[k], next = new Float64Array(rows);
    for (let m = 0; m < rows; m++) {
      const u = r.slope[k][m] * r.g[k + 1][m];
      let along = 0;
      for (let j = 0; j < columns; j++) {
        gradient[w + m * columns + j] += u * bar[j];
        along += weights[w + m * columns + j] * bar[j];
      }
      r.more[k][m] += r.bend[k][m] * r.g[k + 1][m] * along;
      next[m] = 2 * weight * r.g[k + 1][m] + r.slope[k][m] * along;
    }
    bar = next;
  }
  for (let j = 0; j < out.columns; j++) gradient[out.w + j] += bar[j];
  return squares;
}

/** The generator's part of the gradient, from what flows back to the noisy point. */
function teach(weights, [first, last], x1, x2, y, draws, at, r, gradient) {
  const below = new Float64Array(first.rows);
  for (let k = 0; k < 2; k++) {
    const raw = ((r.back[0][k] * draws[at + k]) / (2 * r.deviation[k])) * sigmoid(r.raw[k]);
    gradient[last.b + k] += raw;
    for (let i = 0; i < first.rows; i++) {
      gradient[last.w + k * first.rows + i] += raw * r.hidden[i];
      below[i] += raw * weights[last.w + k * first.rows + i];
    }
  }
  for (let i = 0; i < first.rows; i++) {
    const a = below[i] * (1 - r.hidden[i] ** 2);
    gradient[first.b + i] += a;
    gradient[first.w + 2 * i] += a * (x1 + GAMMA * y);
    gradient[first.w + 2 * i + 1] += a * (x2 + GAMMA * y);
  }
}

/** One step of gradient descent, in place; returns the loss before it. */
export function descend(net, weights, data, index, draws, rate, gradient) {
  const loss = lossAndGradient(net, weights, data, index, draws, gradient);
  for (let k = 0; k < weights.length; k++) weights[k] -= rate * gradient[k];
  return loss;
}
