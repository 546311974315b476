// A loss over one bias and its mean under a noise injection node, which shifts the bias by ε W_NI: the loss smoothed by a Gaussian.
(() => {
  // [input, target, weight] of each sample; the unit's output is compared with the target
  const CASES = {
    "two valleys": {
      data: SHIPPED, // from explorers.py
      loss: (h, target) => ((Math.tanh(8 * h) - target) / 2) ** 2,
    },
    "one logit": {
      data: [[-2.5, -1, 1], [-1.2, -1, 1], [-0.5, 1, 1], [0.3, -1, 1], [1, 1, 1], [2, 1, 1]],
      loss: (h, target) => Math.log1p(Math.exp(-2 * h * target)),
    },
  };
  const BIASES = Array.from({ length: 141 }, (_, k) => (k - 70) / 10);
  const NODES = Array.from({ length: 161 }, (_, k) => (k - 80) / 20); // ε from -4 to 4, weighted by its density
  const WEIGHTS = NODES.map((e) => Math.exp(-e * e / 2)), TOTAL = WEIGHTS.reduce((a, b) => a + b);

  function clean({ data, loss }, bias) {
    const mass = data.reduce((a, [, , weight]) => a + weight, 0);
    return data.reduce((a, [x, target, weight]) => a + weight * loss(x + bias, target), 0) / mass;
  }
  const noisy = (kind, bias, deviation) => (deviation === 0 ? clean(kind, bias)
    : NODES.reduce((a, e, k) => a + WEIGHTS[k] * clean(kind, bias + deviation * e), 0) / TOTAL);
  const lowest = (values) => values.reduce((best, v, k) => (v < values[best] ? k : best), 0);

  const minima = new Map(); // for each loss, the lowest mean noisy loss over the deviation: computed once
  return function bias(state, controls) {
    const kind = CASES[state.loss], columns = { panel: [], series: [], x: [], value: [] };
    const add = (panel, series, x, value) => Object.entries({ panel, series, x, value }).forEach(([name, v]) => columns[name].push(v));
    const deviations = controls.find((control) => control.column === "deviation").values;
    if (!minima.has(state.loss)) minima.set(state.loss, deviations.map((d) => Math.min(...BIASES.map((b) => noisy(kind, b, d)))));
    const [plain, smooth] = [0, state.deviation].map((d) => BIASES.map((b) => noisy(kind, b, d)));
    BIASES.forEach((b, k) => {
      add("loss", "with the node, on average", b, smooth[k]);
      add("loss", "without", b, plain[k]);
    });
    deviations.forEach((d, k) => add("lowest", "with the node, on average", d, minima.get(state.loss)[k]));
    const [a, b] = [lowest(plain), lowest(smooth)];
    return {
      columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])),
      note: `Lowest loss without the node: ${plain[a].toFixed(3)} at b = ${BIASES[a].toFixed(1)}. With it: ${smooth[b].toFixed(3)} at b = ${BIASES[b].toFixed(1)}.`,
    };
  };
})()
