// The univariate toy model of "Noise Injection Node Regularization", App. B, computed from the controls: gradient
// descent on eq. (10) as in `method.descend`, and the phase by the rules of `method.phase`.
(() => {
  const maps = new Map(); // the map depends on the start and the batch alone: computed once for each
  const PHASES = ["decoupled", "decay", "catapult", "divergent"], RISE = 1.1, FALL = 0.5, TIME = 20;

  function normals(seed) { // Box and Muller's, from a small generator, so that the same controls show the same noise
    let a = seed;
    const uniform = () => {
      a = (a + 0x6d2b79f5) | 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  }

  // w^(0) = w^(1) = w_NI = w, σ_x = M = 1; calls visit(step, product, w1, w_ni, loss) from the start on
  function descend(w, eta, sigma, batch, visit) {
    let [w0, w1, ni] = [w, w, w];
    const steps = Math.round(TIME / eta), phi = batch === "infinite" ? () => 0 : normals(1);
    const damping = batch === "infinite" ? 0 : 1 / Math.sqrt(Number(batch));
    let first, last, peak = 0, finite = true;
    for (let step = 0; step <= steps && finite; step++) {
      const signal = w1 * w0 - 1, noise = w1 * ni, cross = sigma * phi() * damping;
      last = (signal * signal + noise * noise * sigma * sigma) / 2 + noise * signal * cross;
      if (step === 0) first = last;
      peak = Math.max(peak, last);
      finite = Number.isFinite(last) && Number.isFinite(ni);
      if (visit && finite) visit(step, signal + 1, Math.abs(w1), Math.abs(ni), last);
      if (!finite) break;
      if (step < steps) {
        const bySignal = signal + noise * cross, byNoise = noise * sigma * sigma + signal * cross;
        [w0, w1, ni] = [w0 - eta * bySignal * w1, w1 - eta * (bySignal * w0 + byNoise * ni), ni - eta * byNoise * w1];
      }
    }
    if (!finite || last > RISE * first) return 3;
    if (peak > RISE * first) return 2;
    return Math.abs(ni) < FALL * w ? 1 : 0;
  }

  return function toy(state, controls) {
    const columns = { panel: [], series: [], x: [], value: [] };
    const add = (panel, series, x, value) => {
      columns.panel.push(panel);
      columns.series.push(series);
      columns.x.push(x);
      columns.value.push(value);
    };
    const steps = Math.round(TIME / state.eta);
    const when = new Set(Array.from({ length: 90 }, (_, k) => Math.round((steps + 1) ** (k / 89)) - 1));
    const found = descend(state.w, state.eta, state.sigma, state.batch, (step, product, w1, ni, loss) => {
      if (!when.has(step) || Math.max(loss, w1, ni) > 1e12) return;
      add("weights", "|w_NI|", step + 1, ni);
      add("weights", "|w(1)|", step + 1, w1);
      add("weights", "w(1) w(0), which is to be 1", step + 1, Math.max(product, 1e-12));
      add("loss", "loss", step + 1, Math.max(loss, 1e-12));
    });
    const [x, y] = ["sigma", "eta"].map((name) => controls.find((control) => control.column === name).values);
    const key = `${state.w}|${state.batch}`;
    if (!maps.has(key)) maps.set(key, y.map((eta) => x.map((sigma) => descend(state.w, eta, sigma, state.batch))));
    const line = { name: "2 d / η", points: y.map((eta) => [Math.sqrt(2 / eta) / state.w, eta]) };
    const own = state.eta * state.sigma ** 2, paper = 2 / state.w ** 2;
    const number = (v) => Number(v.toPrecision(3));
    return {
      columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])),
      note: `Phase: ${PHASES[found]}. η σ_ε² = ${number(own)}; the paper's critical value (dashed) is 2 d = 2 / w² = ${number(paper)}.`,
      map: { x, y, names: PHASES, code: maps.get(key), line },
    };
  };
})()
