// Fig. 1: the law of the number of dropped units, for dropout and random dropout, and how noisy each scheme is.
(() => {
  // The binomial law of n trials at p: its logarithm, term by term, so that nothing overflows.
  function binomial(n, p) {
    const law = [n * Math.log1p(-p)];
    for (let k = 1; k <= n; k++) law.push(law[k - 1] + Math.log((n - k + 1) / k) + Math.log(p / (1 - p)));
    return law.map(Math.exp);
  }
  // Random dropout: P(B > k) / (p (N + 1)), B binomial with N + 1 trials; summed from the small terms on.
  function random(n, p) {
    const law = binomial(n + 1, p), tail = new Array(n + 1);
    for (let k = n, sum = 0; k >= 0; k--) tail[k] = (sum += law[k + 1]) / (p * (n + 1));
    return tail;
  }
  const variance = (p) => p / (1 - p), randomVariance = (p) => -1 - Math.log1p(-p) / p;
  // Mean and deviation of a law of 0, 1, 2, …
  function moments(law) {
    const mean = law.reduce((sum, v, k) => sum + k * v, 0);
    return [mean, Math.sqrt(law.reduce((sum, v, k) => sum + (k - mean) ** 2 * v, 0))];
  }

  return function dropped({ n, p }, controls) {
    const columns = { panel: [], series: [], x: [], value: [] };
    const add = (panel, series, x, value) => Object.entries({ panel, series, x, value }).forEach(([name, v]) => columns[name].push(v));
    const q = 1 + p / Math.log1p(-p), names = ["dropout", "random dropout", "dropout at q, as noisy as random dropout"];
    const laws = [binomial(n, p), random(n, p), binomial(n, q)];
    names.forEach((name, i) => laws[i].forEach((v, k) => add("law", name, k / n, v * n)));
    for (const level of controls.find((control) => control.column === "p").values) {
      add("variance", names[0], level, variance(level));
      add("variance", names[1], level, randomVariance(level));
    }
    const [plain, drawn] = laws.map(moments).map(([mean, deviation]) => `${mean.toFixed(1)} ± ${deviation.toFixed(1)}`);
    return {
      columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])),
      note: `Of ${n} units dropout drops ${plain}, random dropout ${drawn} (mean ± deviation). Variance of the multiplier: ` +
        `${variance(p).toFixed(3)} against ${randomVariance(p).toFixed(3)}, which is that of dropout at q = ${q.toFixed(3)}.`,
    };
  };
})()
