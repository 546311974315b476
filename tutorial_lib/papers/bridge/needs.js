// Which way of training for which need? The reader weighs the needs; strengths are chosen by validation images, as
// choice.py does it for a single need, and the ways are ranked by what they are worth on test images.
(() => {
  // SHIPPED, from explorers.py: needs; student, by degrees of freedom; tables, by data set and images: {ways: [[way, [strength, …]], …],
  // needs: those that are there, numbers: per way, strength and need the mean gain on validation images and each seed's on test images}
  const HEAD = 26, FOOT = 44;
  const unpacked = new Map();
  function tableOf({ dataset, images }) {
    const key = `${dataset}|${images}`;
    if (!unpacked.has(key)) {
      const { ways, needs, seeds, numbers } = SHIPPED.tables[dataset][images], values = halves(numbers);
      let at = 0;
      const take = () => ({ validation: values[at++], test: Array.from({ length: seeds }, () => values[at++]) });
      unpacked.set(key, { seeds, needs, ways: ways.map(([way, strengths]) => ({ way, options: strengths.map((strength) => ({ strength, gains: Object.fromEntries(needs.map((need) => [need, take()])) })) })) });
    }
    return unpacked.get(key);
  }
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
  function interval(v) {
    const middle = mean(v), spread = Math.sqrt(v.reduce((sum, x) => sum + (x - middle) ** 2, 0) / (v.length - 1));
    return { middle, reach: (SHIPPED.student[v.length - 1] * spread) / Math.sqrt(v.length) };
  }

  // Every way at its best strength for these weights, the best first.
  function ranked(state) {
    const { needs, ways, seeds } = tableOf(state), weighed = needs.filter((need) => state[need] > 0);
    const total = weighed.reduce((sum, need) => sum + state[need], 0) || 1;
    const worth = (of) => weighed.reduce((sum, need) => sum + (state[need] * of(need)) / total, 0);
    const found = ways.map(({ way, options }) => {
      const values = options.map(({ gains }) => worth((need) => gains[need].validation)), best = values.indexOf(Math.max(...values));
      const { strength, gains } = options[best];
      const each = Array.from({ length: seeds }, (_, k) => worth((need) => gains[need].test[k]));
      return { way, strength, each, ...interval(each) };
    });
    found.sort((a, b) => b.middle - a.middle);
    for (const one of found) {
      const { middle, reach } = interval(found[0].each.map((v, k) => v - one.each[k]));
      one.apart = one !== found[0] && middle - reach > 0;
    }
    return { found, weighed };
  }
  const number = (v) => v.toFixed(1).replace("-", "−");

  return function needs(state) {
    const { found, weighed } = ranked(state), [first] = found;
    const columns = { series: [], x: [], value: [], error: [], strength: [] };
    found.forEach(({ way, strength, middle, reach }, k) => Object.entries({ series: way, x: k + 1, value: middle, error: reach, strength }).forEach(([name, v]) => columns[name].push(v)));
    const near = found.filter((one) => one !== first && !one.apart).map(({ way }) => way);
    const note = weighed.length
      ? `First: ${first.way}, ${number(first.middle)} points over no noise (95 % interval ${number(first.middle - first.reach)} to ${number(first.middle + first.reach)}). ${near.length ? `Not told apart from it: ${near.join(", ")}.` : "All others are clearly behind."}`
      : "Give at least one need a weight.";

    function paint(width, { make }) {
      const narrow = width < 560, ROW = narrow ? 44 : 30; // on a phone a way's name stands above its bar
      const box = make("div", { role: "group" }), height = HEAD + found.length * ROW + FOOT;
      const sheet = make("g", { role: "img", "aria-label": note }, make("svg", { viewBox: `0 0 ${width} ${height}`, width, height }, box));
      const left = narrow ? 12 : 240, right = width - 16, low = HEAD + found.length * ROW;
      const from = Math.min(0, ...found.map(({ middle, reach }) => middle - reach)), to = Math.max(0.5, ...found.map(({ middle, reach }) => middle + reach));
      const X = (v) => left + ((v - from) / (to - from)) * (right - left);
      const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((s) => (to - from) / s <= 6) || 100;
      for (let k = Math.ceil(from / step); k * step <= to; k++) {
        make("line", { x1: X(k * step), x2: X(k * step), y1: HEAD - 6, y2: low, class: k ? "tl-grid" : "tl-axis" }, sheet);
        make("text", { x: X(k * step), y: low + 16, "text-anchor": "middle", "data-axis": "x" }, sheet, Number((k * step).toPrecision(6)));
      }
      make("text", { x: (left + right) / 2, y: low + 36, "text-anchor": "middle" }, sheet, "weighted gain over no noise");
      found.forEach(({ way, strength, middle, reach, apart }, k) => {
        const y = HEAD + (k + (narrow ? 0.75 : 0.5)) * ROW, colour = apart ? "var(--tl-soft)" : "var(--tl-a)";
        make("text", { x: 0, y: narrow ? y - 13 : y + 4.5, class: apart ? "" : "tl-first" }, sheet, `${way}${strength ? `, ${SHIPPED.symbols[way]} = ${strength}` : ""}`);
        make("path", { d: `M${X(middle - reach)},${y}H${X(middle + reach)}`, style: `stroke:${colour}`, "stroke-width": 2.5 }, sheet);
        make("circle", { cx: X(middle), cy: y, r: 5.5, style: apart ? `fill:none;stroke:${colour};stroke-width:2` : `fill:${colour}`, "data-way": way, "data-strength": strength, "data-value": middle, "data-error": reach }, sheet);
      });
      return box;
    }
    return { columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])), note, own: paint };
  };
})()
