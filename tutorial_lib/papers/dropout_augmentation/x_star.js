// Switch units of a layer off, and see which image x* would have switched them off. x* is found by gradient descent on
// eq. (5), or by Newton's method as in existence.nearest. The layer and the digits are those of page.py.
(() => {
  // SHIPPED, from explorers.py: weight, bias, images (float16 in base64), labels, rate, margin, exact, scaled
  const W = halves(SHIPPED.weight), b = halves(SHIPPED.bias), IMAGES = halves(SHIPPED.images);
  const N = b.length, D = W.length / N, SIDE = Math.sqrt(D), LAST = 60; // units, pixels, pixels a side, steps of descent
  const { exact: EXACT, scaled: SCALED } = SHIPPED; // names in menus

  const digit = (label) => {
    const k = SHIPPED.labels.indexOf(Number(label));
    return IMAGES.slice(k * D, (k + 1) * D);
  };
  const dot = (u, v) => u.reduce((sum, value, k) => sum + value * v[k], 0);
  const norm = (v) => Math.sqrt(dot(v, v));
  const less = (u, v) => u.map((value, k) => value - v[k]);

  // ---- the layer: W x + b, its ReLU, and the product of a row of numbers, one a unit, with W ----
  const before = (x) => b.map((bias, j) => {
    let sum = bias;
    for (let k = 0; k < D; k++) sum += W[j * D + k] * x[k];
    return sum;
  });
  const rect = (h) => h.map((v) => Math.max(0, v));
  function back(v) {
    const sum = new Float64Array(D);
    v.forEach((value, j) => {
      if (value) for (let k = 0; k < D; k++) sum[k] += value * W[j * D + k];
    });
    return sum;
  }

  // ---- which units are off ----
  // Draw number `draw`: a number in [0, 1) a unit, which is off where that is below p: a higher p keeps what is off.
  function draws(draw) {
    let seed = draw * 0x9e3779b9;
    return Array.from({ length: N }, () => { // mulberry32
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    });
  }
  const strongest = (a) => a.indexOf(Math.max(...a));
  // The reader's own switches, as a link keeps them: "3.~17", unit 3 off and unit 17 on, counted from 1; "-" is none.
  const unpacked = (text) => new Map(/^(~?\d{1,3}\.)*~?\d{1,3}$/.test(text)
    ? text.split(".").map((part) => [Number(part.replace("~", "")) - 1, part[0] !== "~"]).filter(([j]) => j >= 0 && j < N) : []);
  const packed = (own) => [...own].map(([j, off]) => (off ? j + 1 : `~${j + 1}`)).join(".") || "-";
  function drawn({ p, draw }) {
    const u = draws(draw);
    return u.map((v) => v < p);
  }
  // Units that are off: those drawn, or else the strongest one, unless the reader has switched.
  function switchedOff(state, a) {
    const off = drawn(state), text = state.units || "";
    if (!text && state.p === 0) off[strongest(a)] = true;
    for (const [j, value] of unpacked(text)) off[j] = value;
    return off;
  }
  function toggled(state, a, j) {
    const own = unpacked(state.units || ""), off = switchedOff(state, a);
    if (!state.units && state.p === 0) own.set(strongest(a), true);
    own.delete(j);
    if (drawn(state)[j] === off[j]) own.set(j, !off[j]); // else it returns to what was drawn
    return packed(own);
  }

  // ---- x* by descent, eq. (5): from x down the gradient of rate times the mean over units of the squared error ----
  // Returns every x* on the way and what is left there: |a(x*) - wanted| / |a(x) - wanted|.
  function descend(x, wanted, rate) {
    const trail = [], whole = norm(less(rect(before(x)), wanted));
    for (let step = 0, z = x; step <= LAST; step++) {
      const h = before(z), error = less(rect(h), wanted), slope = back(error.map((e, j) => (h[j] > 0 ? e : 0)));
      trail.push({ x: z, left: whole ? norm(error) / whole : 0 });
      z = z.map((v, k) => v - ((2 * rate) / N) * slope[k]);
    }
    return trail;
  }

  // ---- x* solved: as existence.nearest and existence.decide, which say why ----
  // The solution s of A s = g for a symmetric positive A, row by row, by Cholesky's L L' = A; A is overwritten.
  function solve(A, g) {
    for (let i = 0; i < D; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = A[i * D + j];
        for (let k = 0; k < j; k++) sum -= A[i * D + k] * A[j * D + k];
        A[i * D + j] = i === j ? Math.sqrt(sum) : sum / A[j * D + j];
      }
    }
    const s = Float64Array.from(g);
    for (let i = 0; i < D; i++) {
      for (let k = 0; k < i; k++) s[i] -= A[i * D + k] * s[k];
      s[i] /= A[i * D + i];
    }
    for (let i = D - 1; i >= 0; i--) {
      for (let k = i + 1; k < D; k++) s[i] -= A[k * D + i] * s[k];
      s[i] /= A[i * D + i];
    }
    return s;
  }
  // The lower half of the sum of w w' over the rows w of W whose unit counts, and epsilon on the diagonal.
  function curvature(counts, epsilon) {
    const A = new Float64Array(D * D);
    for (let j = 0; j < N; j++) {
      if (!counts[j]) continue;
      const w = W.subarray(j * D, (j + 1) * D);
      for (let i = 0; i < D; i++) for (let k = 0; k <= i; k++) A[i * D + k] += w[i] * w[k];
    }
    for (let i = 0; i < D; i++) A[i * D + i] += epsilon;
    return A;
  }
  // Least ½ |v|² + ½ ε |z - x|², v the violations at z, while ε falls; the largest v, and how near an exact x* cannot be.
  function nearest(x, wanted) {
    let z = x, epsilon;
    const at = (point) => {
      const v = before(point).map((h, j) => (wanted[j] > 0 ? h - wanted[j] : Math.max(0, h))), away = less(point, x);
      return { v, away, value: (dot(v, v) + epsilon * dot(away, away)) / 2 };
    };
    const slope = ({ v, away }) => back(v).map((g, k) => g + epsilon * away[k]);
    for (let decade = -2; decade >= -10; decade -= 2) {
      epsilon = (dot(W, W) / D) * 10 ** decade;
      for (let turn = 0; turn < 200; turn++) {
        const here = at(z), gradient = slope(here);
        const step = solve(curvature(here.v.map((v, j) => wanted[j] > 0 || v > 0), epsilon), gradient.map((g) => -g));
        const fall = dot(gradient, step), to = (length) => z.map((v, k) => v + length * step[k]);
        let length = 1;
        while (at(to(length)).value > here.value * (1 + 1e-14) + 1e-4 * length * fall && length > 1e-9) length /= 2;
        z = to(length);
        if (-fall <= 1e-18 * here.value || length * norm(step) <= 1e-15 * (1 + norm(z))) break;
      }
    }
    const end = at(z), gradient = slope(end), lower = Math.max(0, end.value - dot(gradient, gradient) / (2 * epsilon));
    const found = { x: z, worst: end.v.reduce((most, v) => Math.max(most, Math.abs(v)), 0), bound: Math.sqrt((2 * lower) / epsilon) };
    const exists = found.worst <= 1e-6 * Math.max(1, ...wanted), none = found.bound > 100 * Math.max(1, norm(x));
    return { ...found, verdict: exists ? "exists" : none ? "none" : "undecided" };
  }

  // ---- all that follows from the controls; what takes long is kept, for a slider that plays ----
  const kept = new Map();
  function once(name, key, compute) {
    const whole = `${name}|${key}`;
    if (!kept.has(whole)) kept.set(whole, compute());
    if (kept.size > 200) kept.delete(kept.keys().next().value);
    return kept.get(whole);
  }
  function follow(state) {
    const x = digit(state.digit), a = rect(before(x)), off = switchedOff(state, a);
    const scale = state.scale === SCALED ? 1 / (1 - state.p) : 1, wanted = a.map((v, j) => (off[j] ? 0 : v * scale));
    const key = `${state.digit}|${scale}|${off.map(Number).join("")}`, rate = Number((/\d+$/.exec(state.how) || [SHIPPED.rate])[0]);
    const trail = once(rate, key, () => descend(x, wanted, rate)), exact = once(EXACT, key, () => nearest(x, wanted));
    const xStar = state.how === EXACT ? exact.x : trail[state.steps].x, reached = rect(before(xStar));
    const change = norm(less(a, wanted)), left = (now) => (change ? norm(less(now, wanted)) / change : 0);
    const outside = Array.from(xStar, (v) => (v < -SHIPPED.margin ? -1 : v > 1 + SHIPPED.margin ? 1 : 0));
    return {
      x, a, off, wanted, rate, trail, exact, xStar, reached, outside, change, left: left(reached),
      floor: left(rect(before(exact.x))), away: (point) => norm(less(point, x)) / norm(x),
    };
  }

  // ---- words ----
  const many = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;
  function verdict({ exact, away, change }) {
    if (!change) return "Nothing is asked: x itself does it.";
    if (exact.verdict === "exists") return `An image does it, ${away(exact.x).toFixed(2)} |x| from x.`;
    if (exact.verdict === "none") return "No image does it (within 100 |x|).";
    return "Whether an image does it: undecided.";
  }
  function told(state, found) {
    const active = found.a.filter((v) => v > 0).length, off = found.a.filter((v, j) => v > 0 && found.off[j]).length;
    const which = `${off} of ${active} active units off`, left = `${found.left.toFixed(2)} of the change`, far = `${found.away(found.xStar).toFixed(2)} |x| from x`;
    if (!found.change) return `All ${active} active units are on: x itself does it. Switch one off.`;
    if (state.how !== EXACT) return `${which}. ${many(state.steps, "step")} of descent: ${left} left, ${far}. ${verdict(found)}`;
    return `${which}. ${verdict(found)}${found.exact.verdict === "exists" ? "" : ` The solver’s best: ${left} left, ${far}.`}`;
  }

  // ---- the page's part: images, units, activations and what is left of the change, in one drawing ----
  let state, found, tools, looked = null, stop = 0; // looked: the unit that is pointed at; stop: where Tab arrives
  const box = document.createElement("div");
  box.className = "tl-xstar";
  box.setAttribute("role", "group");
  box.follow = (wanted) => follow({ digit: "3", p: 0, draw: 1, how: EXACT, ...wanted }); // for tests
  const make = (tag, attributes, parent, text) => tools.make(tag, attributes, parent, text);
  const RISES = "var(--tl-d)", FALLS = "var(--tl-e)", WANTED = "var(--tl-a)", REACHED = "var(--tl-b)";
  const group = (parent, left, top, attributes) => make("g", { transform: `translate(${left} ${top})`, ...attributes }, parent);
  const words = (parent, x, y, text, attributes) => make("text", { x, y, ...attributes }, parent, text);

  // SIDE x SIDE pixels; look(k) gives a pixel's attributes.
  function pixels(parent, size, look) {
    const cell = size / SIDE;
    for (let k = 0; k < D; k++) {
      make("rect", { x: (k % SIDE) * cell, y: Math.floor(k / SIDE) * cell, width: cell, height: cell, "shape-rendering": "crispEdges", ...look(k) }, parent);
    }
    make("rect", { width: size, height: size, fill: "none", style: "stroke:var(--tl-soft)" }, parent);
  }
  const grey = (v) => ({ fill: `rgb(${[0, 0, 0].map(() => Math.round(255 * Math.max(0, Math.min(1, v)))).join()})` });
  const signed = (v) => ({ style: `fill:${v < 0 ? FALLS : RISES}`, "fill-opacity": Math.min(1, Math.abs(v)).toFixed(3) }); // full colour from 1 on
  // An image under its name; pixels outside of the image range are outlined.
  function image(parent, { left, top, size }, name, values, outside) {
    const part = group(parent, left, top, { role: "img", "aria-label": name });
    words(part, 0, -7, name);
    pixels(part, size, (k) => grey(values[k]));
    const cell = size / SIDE;
    (outside || []).forEach((side, k) => {
      if (!side) return;
      const at = { x: (k % SIDE) * cell + 2, y: Math.floor(k / SIDE) * cell + 2, width: cell - 4, height: cell - 4 };
      make("rect", { ...at, fill: "none", "stroke-width": 2.5, style: `stroke:${side < 0 ? FALLS : RISES}`, "data-outside": side }, part);
    });
  }
  function difference(parent, { left, top, size }) {
    const part = group(parent, left, top, { role: "img", "aria-label": "x* less x: green where x* is brighter, full colour from half of the image range on" });
    words(part, 0, -7, "x* − x");
    [["+", RISES], ["−", FALLS]].forEach(([sign, colour], k) => {
      make("rect", { x: 52 + 30 * k, y: -17, width: 11, height: 11, style: `fill:${colour}` }, part);
      words(part, 66 + 30 * k, -7, sign);
    });
    const moved = less(found.xStar, found.x);
    pixels(part, size, (k) => signed(2 * moved[k]));
  }

  function arrow(parent, x, y, length) {
    const head = 5 * Math.sign(length);
    make("path", { d: `M${x},${y}h${length}m${-head},-5l${head},5l${-head},5`, "stroke-width": 1.8, style: "stroke:var(--tl-soft);fill:none" }, parent);
  }

  // ---- the units: a switch each; arrow keys move among them, space and enter switch ----
  const active = () => Math.max(...found.a);
  function unit(parent, j, cell) {
    const [x, y] = [(j % 10) * cell, Math.floor(j / 10) * cell], value = found.a[j], off = found.off[j];
    const part = group(parent, x, y, {
      role: "button", tabindex: j === stop ? 0 : -1, "aria-pressed": off, "data-unit": j + 1, "data-off": off,
      "aria-label": `switch off unit ${j + 1}, activation ${value.toFixed(2)}`, style: "cursor:pointer;outline-offset:-2px",
    });
    const inner = { x: 1, y: 1, width: cell - 2, height: cell - 2, rx: 2 };
    make("rect", { ...inner, style: "fill:var(--tl-panel);stroke:var(--tl-line)" }, part);
    if (value > 0 && !off) make("rect", { ...inner, style: `fill:${WANTED}`, "fill-opacity": (0.2 + (0.8 * value) / active()).toFixed(3) }, part);
    if (off) {
      const [from, to] = [0.26 * cell, 0.74 * cell], ink = value > 0 ? "var(--tl-ink)" : "var(--tl-line)";
      make("path", { d: `M${from},${from}L${to},${to}M${to},${from}L${from},${to}`, "stroke-width": value > 0 ? 2.4 : 1.2, style: `stroke:${ink};fill:none` }, part);
      if (value > 0) make("rect", { ...inner, fill: "none", "stroke-width": 1.6, style: `stroke:${ink}` }, part);
    }
    part.addEventListener("pointerenter", () => point(j));
    part.addEventListener("focus", () => arrive(j));
    part.addEventListener("click", () => flip(j));
    part.addEventListener("keydown", (event) => key(event, j));
  }
  function arrive(j) {
    at(stop).setAttribute("tabindex", -1);
    at((stop = j)).setAttribute("tabindex", 0);
    point(j);
  }
  function flip(j) {
    looked = j;
    tools.choose({ units: toggled(state, found.a, j) });
    at(j).focus({ preventScroll: true }); // it was drawn anew
  }
  const at = (j) => box.querySelector(`[data-unit="${j + 1}"]`);
  function key(event, j) {
    const to = { ArrowLeft: j - 1, ArrowRight: j + 1, ArrowUp: j - 10, ArrowDown: j + 10, Home: 0, End: N - 1 }[event.key];
    if (to === undefined && event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would take the arrow keys
    if (to === undefined) return flip(j);
    if (to >= 0 && to < N) at(to).focus();
  }

  // ---- charts ----
  // Axes with these ticks upwards, `below` of room under them; what is above the last tick is drawn on it.
  function frame(parent, { left, top, width, height }, below, x, y, ticks, label) {
    const part = group(parent, left, top, { role: "img", "aria-label": label });
    const inner = { left: 40, top: 22, right: width - 6, bottom: height - below }, most = ticks[ticks.length - 1];
    const Y = (v) => inner.bottom - (Math.min(v, most) / most) * (inner.bottom - inner.top);
    for (const v of ticks) {
      make("line", { x1: inner.left, x2: inner.right, y1: Y(v), y2: Y(v), class: v ? "tl-grid" : "tl-axis" }, part);
      words(part, inner.left - 6, Y(v) + 4, Number(v.toFixed(2)), { "text-anchor": "end" });
    }
    words(part, (inner.left + inner.right) / 2, height - 4, x, { "text-anchor": "middle", "data-axis": "x" });
    const middle = (inner.top + inner.bottom) / 2;
    words(part, 10, middle, y, { "text-anchor": "middle", transform: `rotate(-90 10 ${middle})`, "data-axis": "y" });
    return { part, inner, Y };
  }
  const ladder = (most) => { // 0 and a few round numbers, up to `most` or a little more
    const step = [0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10, 20, 50].find((s) => most / s <= 5) || most / 4;
    return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, k) => k * step);
  };
  // The units in the order of the chart: kept and active, off, silent, each by activation; where the groups begin.
  function order() {
    const kind = (j) => (found.a[j] <= 0 ? 2 : found.off[j] ? 1 : 0), all = Array.from(b.keys());
    const sorted = all.sort((i, j) => kind(i) - kind(j) || found.a[j] - found.a[i] || found.reached[j] - found.reached[i] || i - j);
    return { sorted, counts: [0, 1, 2].map((k) => all.filter((j) => kind(j) === k).length) };
  }
  // What the marks of the chart below mean.
  function signs(parent, left, top) {
    const part = group(parent, left, top);
    ["at x", "wanted", "reached"].forEach((name, k) => words(part, 10, 5 + 18 * k, name));
    make("circle", { r: 2.6, fill: "none", style: "stroke:var(--tl-ink)" }, part);
    make("path", { d: "M-4,18h8", "stroke-width": 2.4, style: `stroke:${WANTED}` }, part);
    make("circle", { cy: 36, r: 2.6, style: `fill:${REACHED}` }, part);
  }
  // Wanted against reached, unit by unit.
  function compare(parent, place) {
    const { sorted, counts } = order(), ticks = ladder(Math.max(0.2, ...found.a, ...found.wanted, ...found.reached));
    const { part, inner, Y } = frame(parent, place, 22, "units", "activation", ticks, "Activations wanted and reached, unit by unit");
    const X = (rank) => inner.left + ((rank + 0.5) / N) * (inner.right - inner.left), tall = { y1: inner.top - 4, y2: inner.bottom };
    const [from, to] = [X(counts[0] - 0.5), X(counts[0] + counts[1] - 0.5)];
    make("rect", { x: from, y: inner.top - 4, width: to - from, height: inner.bottom - inner.top + 4, class: "tl-track" }, part);
    words(part, inner.left, 12, `${counts[0]} kept`);
    words(part, Math.max(inner.left + 60, (from + to) / 2), 12, `${counts[1]} off`, { "text-anchor": "middle" });
    words(part, inner.right, 12, `${counts[2]} silent`, { "text-anchor": "end" });
    sorted.forEach((j, rank) => {
      const [wanted, reached, x] = [found.wanted[j], found.reached[j], X(rank)];
      if (wanted !== reached) make("line", { x1: x, x2: x, y1: Y(wanted), y2: Y(reached), "stroke-width": 1.5, style: `stroke:${REACHED}` }, part);
      if (found.off[j] && found.a[j] > 0) make("circle", { cx: x, cy: Y(found.a[j]), r: 2.6, fill: "none", style: "stroke:var(--tl-ink)" }, part);
      if (reached > 1e-3 || found.a[j] > 0) make("circle", { cx: x, cy: Y(reached), r: 2.4, style: `fill:${REACHED}`, "data-reached": reached }, part);
      if (found.a[j] > 0) make("path", { d: `M${x - 2.6},${Y(wanted)}h5.2`, "stroke-width": 1.8, style: `stroke:${WANTED}`, "data-wanted": wanted }, part);
    });
    signs(part, inner.right - 62, inner.top + 8);
    const sheet = make("rect", { x: inner.left, y: inner.top, width: inner.right - inner.left, height: inner.bottom - inner.top, "fill-opacity": 0 }, part);
    const under = (event) => {
      const area = sheet.getBoundingClientRect(), rank = Math.floor(((event.clientX - area.left) / area.width) * N);
      return sorted[Math.max(0, Math.min(N - 1, rank))];
    };
    sheet.addEventListener("pointermove", (event) => point(under(event)));
    return (j) => make("line", { x1: X(sorted.indexOf(j)), x2: X(sorted.indexOf(j)), ...tall, class: "tl-cross" }, part);
  }
  // What is left of the change, step by step.
  function remaining(parent, place) {
    const values = found.trail.map((step) => step.left), ticks = ladder(Math.min(2, Math.max(1, ...values)));
    const { part, inner, Y } = frame(parent, place, 36, `steps of descent at rate ${found.rate}`, "left of the change", ticks, "What is left of the change, over the steps of descent");
    const X = (step) => inner.left + (step / LAST) * (inner.right - inner.left - 8), solved = state.how === EXACT;
    [0, 20, 40, 60].forEach((step) => words(part, X(step), inner.bottom + 16, step, { "text-anchor": "middle" }));
    make("path", { d: `M${values.map((v, k) => `${X(k)},${Y(v)}`).join("L")}`, class: "tl-line", style: `stroke:${REACHED}`, opacity: solved ? 0.45 : 1 }, part);
    make("path", { d: `M${X(0)},${Y(found.floor)}H${X(LAST)}`, class: "tl-line", "stroke-dasharray": "7 4", style: `stroke:${WANTED}`, opacity: solved ? 1 : 0.6 }, part);
    words(part, X(0) + 6, Y(found.floor) + (found.floor > 0.15 * ticks[ticks.length - 1] ? 15 : -6), `solved: ${found.floor < 5e-4 ? 0 : found.floor.toFixed(2)}`);
    if (solved) return;
    make("line", { x1: X(state.steps), x2: X(state.steps), y1: inner.top, y2: inner.bottom, class: "tl-mark" }, part);
    make("circle", { cx: X(state.steps), cy: Y(found.left), r: 4.5, style: `fill:${REACHED}`, "data-step": state.steps, "data-left": found.left }, part);
  }

  // ---- the whole ----
  // Where things stand: side by side where there is room, else below each other.
  const SIDE_BY_SIDE = 640;
  function plan(width) {
    if (width > SIDE_BY_SIDE) {
      const k = width / 760, size = 150 * k, grid = 226 * k, second = 180 * k, third = second + grid + 30 * k, top = 22, low = top + grid + 20;
      return {
        height: low + 180, x: { left: 0, top, size }, units: { left: second, top, size: grid }, star: { left: third, top, size },
        moved: { left: third + size + 18 * k, top, size }, weights: { left: 0, top: top + size + 26, size: grid - size - 26 },
        verdict: { left: third, top: top + size + 20 }, compare: { left: 0, top: low, width: 0.62 * width - 10, height: 180 },
        remaining: { left: 0.62 * width + 4, top: low, width: 0.38 * width - 4, height: 180 },
      };
    }
    const size = (width - 16) / 3, top = 22, second = top + size + 104, grid = Math.min(width, 400), third = second + grid + 26;
    return {
      height: third + 450, x: { left: 0, top, size }, star: { left: size + 8, top, size }, moved: { left: 2 * (size + 8), top, size },
      verdict: { left: 0, top: top + size + 20 }, units: { left: 0, top: second, size: grid }, weights: { left: 0, top: third, size: 64 },
      compare: { left: 0, top: third + 80, width, height: 180 }, remaining: { left: 0, top: third + 270, width, height: 180 },
    };
  }
  let point = () => {}; // shows a unit: its weights, its numbers, where it stands
  function paint(width) {
    const places = plan(width), narrow = width <= SIDE_BY_SIDE, cell = places.units.size / 10;
    box.replaceChildren();
    const svg = make("svg", { viewBox: `0 0 ${width} ${places.height}`, width, height: places.height }, box);
    image(svg, places.x, `x`, found.x);
    image(svg, places.star, state.how === EXACT ? (found.exact.verdict === "exists" ? "x*, solved" : "x*, solver’s best") : `x* after ${many(state.steps, "step")}`, found.xStar, found.outside);
    difference(svg, places.moved);
    const asked = found.wanted.filter((v) => v > 0).length, out = found.outside.filter(Boolean).length;
    const lines = group(svg, places.verdict.left, places.verdict.top, { "data-verdict": found.exact.verdict });
    words(lines, 0, 0, verdict(found), { class: "tl-first" });
    words(lines, 0, 18, `to meet: ${many(asked, "equation")}, ${N - asked} inequalities`);
    const mute = found.reached.filter((v, j) => v === 0 && found.wanted[j] > 0).length;
    if (mute) words(lines, 0, 54, `${many(mute, "kept unit")} fell silent: no slope there`);
    words(lines, 0, 36, out ? `outlined: ${many(out, "pixel")} of x* out of range` : "x* is within the image range");
    const grid = group(svg, places.units.left, places.units.top, { role: "group", "aria-label": "The layer's units; switch them off or on" });
    words(grid, 0, -7, narrow ? "the layer’s units: tap to switch off" : "its units: click to switch off");
    for (let j = 0; j < N; j++) unit(grid, j, cell);
    if (!narrow) [[places.x.left + places.x.size, 1], [places.star.left, -1]].forEach(([from, way]) => arrow(svg, from + 7 * way, places.x.top + places.x.size / 2, 16 * way));
    const cross = compare(svg, places.compare);
    remaining(svg, places.remaining);
    const shown = group(svg, places.weights.left, places.weights.top);
    point = (j) => {
      looked = j;
      shown.replaceChildren();
      svg.querySelectorAll(".tl-cross, .tl-looked").forEach((old) => old.remove());
      const row = W.subarray(j * D, (j + 1) * D), most = Math.max(...row.map(Math.abs)), { size } = places.weights;
      pixels(shown, size, (k) => signed(row[k] / most));
      words(shown, 0, -7, `unit ${j + 1}, its weights`);
      const lines = [["at x", found.a], ["wanted", found.wanted], ["reached", found.reached]];
      lines.forEach(([name, values], k) => words(shown, size + 8, 0.18 * size + 0.36 * size * k + 3, `${name} ${values[j].toFixed(2)}`));
      make("rect", { x: (j % 10) * cell, y: Math.floor(j / 10) * cell, width: cell, height: cell, rx: 3, fill: "none", class: "tl-looked", "stroke-width": 2.5, "pointer-events": "none", style: `stroke:${REACHED}` }, grid);
      cross(j);
    };
    point(looked === null ? Math.max(0, found.off.findIndex((off, j) => off && found.a[j] > 0)) : looked);
  }

  return function xStar(wanted) {
    state = wanted;
    found = follow(state);
    const columns = { panel: [], series: [], x: [], value: [] };
    const add = (panel, series, values, first) => values.forEach((value, k) => {
      Object.entries({ panel, series, x: k + first, value: Number(value.toFixed(4)) }).forEach(([name, v]) => columns[name].push(v));
    });
    add("activation of a unit", "x", found.a, 1);
    add("activation of a unit", "wanted", found.wanted, 1);
    add("activation of a unit", "reached", found.reached, 1);
    add("left of the change after a step", "descent", found.trail.map((step) => step.left), 0);
    add("pixel", "x", found.x, 1);
    add("pixel", "x*", found.xStar, 1);
    return {
      columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])),
      note: told(state, found),
      own: (width, given) => {
        tools = given;
        paint(width);
        queueMicrotask(() => box.nextElementSibling.replaceChildren()); // the legend: there is no series to switch off
        return box;
      },
    };
  };
})()
