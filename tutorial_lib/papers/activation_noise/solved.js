// The solved model of the theory: linear autoencoders with tied weights and noise on the code, Gaussian classes,
// infinitely many draws. As solved.py, computed from the controls.
(() => {
  const { classes: K, dimension: D, images: N } = SHIPPED;
  const [axes, factors, normals] = ["axes", "factors", "normals"].map((name) => halves(SHIPPED[name]));
  const worlds = new Map(); // by spectrum: the accuracies of all pairs of noise

  function world(decay, unlike, turned, values) {
    const key = [decay, unlike, turned].join("|");
    if (worlds.has(key)) return worlds.get(key);
    const spectrum = Float64Array.from(factors, (f, at) => (at % D + 1) ** -decay * f ** unlike);
    const axis = (k, d, i) => (turned ? axes[(k * D + d) * D + i] : Number(d === i));
    const square = new Float64Array(K * N * K * D), image = new Float64Array(D);
    for (let n = 0; n < K * N; n++) {
      const own = Math.floor(n / N);
      for (let d = 0; d < D; d++) {
        image[d] = 0;
        for (let i = 0; i < D; i++) image[d] += normals[n * D + i] * Math.sqrt(spectrum[own * D + i]) * axis(own, d, i);
      }
      for (let k = 0; k < K; k++) for (let i = 0; i < D; i++) {
        let along = 0;
        for (let d = 0; d < D; d++) along += image[d] * axis(k, d, i);
        square[(n * K + k) * D + i] = along * along;
      }
    }
    const table = values.map((alpha) => { // accuracies by α at training, then by α at inference
      const kept = spectrum.map((l) => Math.max(0, 1 - alpha * alpha / (2 * l)));
      const sums = Array.from({ length: K }, (_, k) => kept.slice(k * D, (k + 1) * D).reduce((a, b) => a + b));
      const right = new Float64Array(values.length), energy = new Float64Array(K);
      for (let n = 0; n < K * N; n++) {
        for (let k = 0; k < K; k++) {
          energy[k] = 0;
          for (let i = 0; i < D; i++) energy[k] += (1 - kept[k * D + i]) ** 2 * square[(n * K + k) * D + i];
        }
        values.forEach((beta, b) => {
          const all = energy.map((e, k) => e + beta * beta * sums[k]), least = Math.min(...all) * (1 + 1e-9);
          const best = all.reduce((count, e) => count + (e <= least), 0);
          if (all[Math.floor(n / N)] <= least) right[b] += 1 / best; // equal energies: a guess
        });
      }
      return Array.from(right, (r) => (100 * r) / (K * N));
    });
    worlds.set(key, table);
    return table;
  }

  const highest = (row) => row.reduce((best, v, k) => (v > row[best] + 1e-9 ? k : best), 0);

  return function solved(state, controls) {
    const values = controls.find((control) => control.column === "alpha").values;
    const table = world(state.decay, state.unlike, state.axes === SHIPPED.turned, values);
    const columns = { alpha: [], beta: [], accuracy: [], ring: [] };
    const ridge = values.map((_, b) => highest(table.map((row) => row[b]))); // the best α at training for each at inference
    values.forEach((beta, b) => values.forEach((alpha, a) => {
      const row = { alpha, beta, accuracy: table[a][b], ring: Number(ridge[b] === a) };
      Object.entries(row).forEach(([name, v]) => columns[name].push(v));
    }));
    return { columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])) };
  };
})()
