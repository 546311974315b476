// A task on a line, noise N(0, s²) whose width s depends on the label: H(T), H(T|E), I(T, E), and the bound L + H(T) of
// eqs. (10) to (14) for a q, by quadrature as in bound.py.
(() => {
  const { points: X, slope: SLOPE, least: LEAST, q: Q } = SHIPPED; // from explorers.py
  const N = X.length, COUNT = 801, SERIES = ["H(T)", "I(T, E)", "H(T|E)", "bound L + H(T)"];
  const BELOW = -0.7; // the chart ends there: a bad q's bound has no floor

  // ---- the task and the noise ----
  const unpacked = (text) => (/^(\d{1,3}\.){8}\d{1,3}$/.test(text) ? text.split(".") : SLOPE).map((v) => Math.min(100, Number(v)) / 100);
  const packed = (p) => (p.some((v, k) => Math.round(100 * v) !== SLOPE[k]) ? p.map((v) => Math.round(100 * v)).join(".") : "");
  const widthsAt = ({ width, growth, ratio }, x) => [width * growth ** x, width * growth ** x * ratio];
  const ROOT = Math.sqrt(2 * Math.PI);
  function normal(e, s) {
    const t = e / s;
    return t * t > 1480 ? 0 : Math.exp(-0.5 * t * t) / (s * ROOT);
  }
  const entropy = (p) => -[p, 1 - p].reduce((sum, v) => sum + (v > 0 ? v * Math.log(v) : 0), 0);
  // Points and weights for integrals over ε under Gaussians of these widths: evenly spaced u, ε = least width · sinh u.
  function quadrature(widths, count) {
    const least = Math.min(...widths), end = Math.asinh((12 * Math.max(...widths)) / least), step = (2 * end) / (count - 1);
    const e = new Float64Array(count), weight = new Float64Array(count);
    for (let k = 0; k < count; k++) {
      const up = Math.exp(k * step - end), down = 1 / up;
      e[k] = (least * (up - down)) / 2;
      weight[k] = (least * step * (up + down)) / 2;
    }
    return { e, weight };
  }

  // ---- the four q, as [log q(0 | x, ε), log q(1 | x, ε)] ----
  const logOf = (a, b) => [Math.log(a / (a + b)), Math.log(b / (a + b))];
  // p(y, x + ε = z), as [y = 0, y = 1], for the noise that was asked for last; the same array each time.
  const mixed = new Float64Array(2), inverse = new Float64Array(2 * N), share = new Float64Array(2 * N);
  function mixing(p, noise) {
    noise.forEach((widths, j) => widths.forEach((s, k) => {
      inverse[2 * j + k] = 1 / s;
      share[2 * j + k] = (k ? p[j] : 1 - p[j]) / (N * s * ROOT);
    }));
  }
  function mixture(z) {
    mixed[0] = mixed[1] = 0;
    for (let j = 0; j < 2 * N; j++) {
      const t = (z - X[j >> 1]) * inverse[j];
      if (share[j] > 0 && t * t < 1480) mixed[j & 1] += share[j] * Math.exp(-0.5 * t * t);
    }
    return mixed;
  }
  const clamped = (v) => Math.log(Math.min(1 - LEAST, Math.max(LEAST, v)) / (1 - Math.min(1 - LEAST, Math.max(LEAST, v))));
  let known = null, logits; // of the base at the points, for the p that was asked for last
  function logit(p, z) { // of the base: straight between the points, level beyond
    if (known !== p) [known, logits] = [p, p.map(clamped)];
    const at = Math.min(N - 1, Math.max(0, (z - X[0]) / (X[1] - X[0]))), k = Math.min(N - 2, Math.floor(at));
    return logits[k] + (at - k) * (logits[k + 1] - logits[k]);
  }
  const softplus = (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
  const joint = (p, widths, i, e) => [(1 - p[i]) * normal(e, widths[0]), p[i] * normal(e, widths[1])];
  function logQ(q, p, noise, i, e) {
    if (q === Q.bayes) return logOf(...joint(p, noise[i], i, e));
    if (q === Q.sum) {
      mixing(p, noise);
      return logOf(...mixture(X[i] + e));
    }
    if (q === Q.deaf) return [Math.log(1 - p[i]), Math.log(p[i])];
    const f = logit(p, X[i] + e);
    return [-softplus(f), -softplus(-f)];
  }

  // H(y | x + ε), on the points that are dense around each x.
  function givenSum(p, noise) {
    const half = COUNT >> 1, z = new Float64Array(N * half);
    X.forEach((x, j) => z.set(quadrature(noise[j], half).e.map((e) => x + e), j * half));
    z.sort();
    mixing(p, noise);
    let sum = 0, last = 0;
    for (let k = 0; k < z.length; k++) {
      mixture(z[k]);
      const a = mixed[0], b = mixed[1], total = a + b, value = -(a > 0 ? a * Math.log(a / total) : 0) - (b > 0 ? b * Math.log(b / total) : 0);
      if (k) sum += ((z[k] - z[k - 1]) * (value + last)) / 2;
      last = value;
    }
    return sum;
  }
  // H(T), H(T|E), I(T, E), the bound L + H(T) for q, and its gap.
  function all(p, noise, q) {
    const H = p.reduce((sum, v) => sum + entropy(v) / N, 0);
    let given = 0, L = 0;
    for (let i = 0; i < N; i++) {
      const { e, weight } = quadrature(noise[i], COUNT), [s0, s1] = noise[i];
      for (let k = 0; k < COUNT; k++) {
        const a = (1 - p[i]) * normal(e[k], s0), b = p[i] * normal(e[k], s1), total = a + b, w = weight[k] / N;
        if (a > 0) given -= w * a * Math.log(a / total);
        if (b > 0) given -= w * b * Math.log(b / total);
        if (q === Q.base && total > 0) {
          const f = logit(p, X[i] + e[k]);
          L -= w * (a * softplus(f) + b * softplus(-f));
        }
      }
    }
    if (q === Q.sum) L = -givenSum(p, noise);
    if (q === Q.bayes) L = -given;
    if (q === Q.deaf) L = -H;
    return { H, given, I: H - given, bound: L + H, gap: -given - L };
  }
  const noiseOf = (state) => X.map((x) => widthsAt(state, x));

  const kept = new Map();
  function once(key, compute) {
    if (!kept.has(key)) kept.set(key, compute());
    if (kept.size > 2000) kept.delete(kept.keys().next().value);
    return kept.get(key);
  }
  const quantities = (p, state) => once([p.join(), state.width, state.growth, state.ratio, state.q].join("|"), () => all(p, noiseOf(state), state.q));
  const seesSum = (q) => q === Q.sum || q === Q.base;
  function follow(state, p = unpacked(state.task || "")) {
    const now = quantities(p, state), found = { p, now, price: null, error: null };
    if (seesSum(state.q)) {
      const price = quantities(p, { ...state, q: Q.sum }).gap;
      Object.assign(found, { price, error: now.gap - price });
    }
    return found;
  }

  // ---- words ----
  const nats = (v, digits = 4) => (Math.abs(v) < 0.5 * 10 ** -digits ? 0 : v).toFixed(digits).replace("-", "−"), short = (v) => nats(v, 3);
  function told({ now, price, error }) {
    const kind = now.H < 1e-9 ? "there is nothing to tell" : now.I > 1e-6 ? "π-noise" : "pure noise";
    const says = now.bound > 1e-6 ? "it certifies that" : now.I > 1e-6 ? "it certifies nothing" : "it cannot be positive here";
    const parts = price === null ? "" : `: ${nats(price)} is the price of the sum, ${nats(error)} the error of the base`;
    return `H(T) = ${nats(now.H)}, H(T|E) = ${nats(now.given)}, so the noise tells I(T, E) = ${nats(now.I)} nats: ${kind}. Bound L + H(T) = ${nats(now.bound)}: ${says}. Gap, the mean KL, ${nats(now.gap)}${parts}.`;
  }

  // ---- the page's part: the task, what one ε tells, and the sums ----
  let state, found, tools, stop = 5; // stop: the x that is looked at, where Tab arrives
  const box = document.createElement("div");
  box.className = "tl-pad tl-bound";
  box.setAttribute("role", "group");
  box.follow = (wanted) => follow({ ...state, ...wanted }); // for tests
  const make = (tag, attributes, parent, text) => tools.make(tag, attributes, parent, text);
  const words = (parent, x, y, text, attributes) => make("text", { x, y, ...attributes }, parent, text);
  const ZERO = "var(--tl-b)", ONE = "var(--tl-a)", PRICE = "var(--tl-d)", ERROR = "var(--tl-e)", INK = "var(--tl-ink)";
  const svg = (width, height, attributes) => make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, ...attributes }, box);
  const line = (parent, d, colour, more) => make("path", { d, class: "tl-line", style: `stroke:${colour}`, ...more }, parent);
  // Axes: probabilities upwards, from `low` to `high` across with these ticks.
  function frame(sheet, width, height, low, high, ticks, x, y) {
    const inner = { left: 58, right: width - 14, top: 24, bottom: height - 38 };
    const across = (v) => inner.left + ((v - low) / (high - low)) * (inner.right - inner.left), up = (v) => inner.bottom - v * (inner.bottom - inner.top);
    for (const v of [0, 0.25, 0.5, 0.75, 1]) {
      make("line", { x1: inner.left, x2: inner.right, y1: up(v), y2: up(v), class: v ? "tl-grid" : "tl-axis" }, sheet);
      words(sheet, inner.left - 6, up(v) + 4, v, { "text-anchor": "end" });
    }
    for (const v of ticks) words(sheet, across(v), inner.bottom + 16, String(v).replace("-", "−"), { "text-anchor": "middle" });
    words(sheet, (inner.left + inner.right) / 2, height - 5, x, { "text-anchor": "middle", "data-axis": "x" });
    words(sheet, 11, (inner.top + inner.bottom) / 2, y, { "text-anchor": "middle", transform: `rotate(-90 11 ${(inner.top + inner.bottom) / 2})`, "data-axis": "y" });
    return { inner, across, up };
  }

  // p(y = 1 | x) at nine x, each a handle: drag it, or arrow keys.
  function task(width, height) {
    const sheet = svg(width, height, { role: "group", "aria-label": "The task: p(y = 1 | x) at nine x, to be dragged", style: "cursor:ns-resize" });
    const { inner, across, up } = frame(sheet, width, height, X[0] - 0.3, X[N - 1] + 0.3, [-2, -1, 0, 1, 2], "x (no unit)", "p(y = 1 | x)");
    words(sheet, inner.left, 13, "drag the points; bars: widths");
    const steps = Array.from({ length: 93 }, (_, k) => X[0] - 0.3 + k / 20);
    line(sheet, `M${steps.map((x) => `${across(x)},${up(1 / (1 + Math.exp(-logit(found.p, x))))}`).join("L")}`, "var(--tl-soft)", { "stroke-width": 1.3, class: "tl-line tl-reference" });
    widthsAt(state, X[stop]).forEach((s, k) => { // one deviation to either side, of the noise of either label
      const [from, to] = [X[stop] - s, X[stop] + s].map((v) => Math.max(inner.left, Math.min(inner.right, across(v)))), y = up(k ? 0.93 : 0.07);
      line(sheet, `M${from},${y}H${to}M${from},${y - 4}v8M${to},${y - 4}v8`, k ? ONE : ZERO, { "stroke-dasharray": k ? "" : "7 4" });
    });
    found.p.forEach((p, k) => {
      const handle = make("g", {
        role: "slider", tabindex: k === stop ? 0 : -1, "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": p, "aria-orientation": "vertical",
        "aria-label": `p(y = 1 | x = ${X[k]})`, "data-x": X[k], "data-p": p, style: "touch-action:none;outline-offset:2px",
      }, sheet);
      make("line", { x1: across(X[k]), x2: across(X[k]), y1: up(0), y2: up(p), "stroke-width": 2, "pointer-events": "none", style: `stroke:${ONE}`, opacity: 0.5 }, handle);
      make("circle", { cx: across(X[k]), cy: up(p), r: 17, "fill-opacity": 0 }, handle);
      make("circle", { cx: across(X[k]), cy: up(p), r: k === stop ? 8 : 6, style: `fill:${ONE};stroke:${k === stop ? INK : "var(--tl-panel)"}`, "stroke-width": 2 }, handle);
      handle.addEventListener("keydown", (event) => key(event, k));
      handle.addEventListener("focus", () => stop !== k && look(k));
    });
    sheet.addEventListener("pointerdown", (event) => drag(event, { width, inner, across }));
  }
  const at = (k) => box.querySelector(`[data-x="${X[k]}"]`);
  function look(k) {
    stop = k;
    paint(box.wide);
    at(k).focus({ preventScroll: true });
  }
  function set(k, value) {
    const next = [...found.p];
    next[k] = Math.round(100 * Math.max(0, Math.min(1, value))) / 100;
    return next;
  }
  function key(event, k) {
    const by = { ArrowUp: 0.05, ArrowDown: -0.05, PageUp: 0.25, PageDown: -0.25, Home: -1, End: 1 }[event.key], to = { ArrowLeft: k - 1, ArrowRight: k + 1 }[event.key];
    if (by === undefined && to === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would take the arrow keys
    if (to !== undefined) return to >= 0 && to < N && look(to);
    tools.choose({ task: packed(set(k, found.p[k] + by)) });
    at(k).focus({ preventScroll: true }); // it was drawn anew
  }
  function drag(event, { width, inner, across }) {
    if (event.button > 0) return;
    const point = ({ clientX, clientY }) => {
      const place = box.firstChild.getBoundingClientRect(), scale = width / place.width;
      return [(clientX - place.left) * scale, (inner.bottom - (clientY - place.top) * scale) / (inner.bottom - inner.top)];
    };
    const [left, first] = point(event), k = X.reduce((best, x, j) => (Math.abs(across(x) - left) < Math.abs(across(X[best]) - left) ? j : best), 0);
    if (left < inner.left || first < -0.1 || first > 1.1) return;
    if (event.pointerType === "touch" && !event.target.closest("[role=slider]")) return; // a finger beside the points scrolls
    event.preventDefault();
    stop = k;
    let next = found.p;
    const move = (there) => {
      next = set(k, point(there)[1]);
      found = follow(state, next);
      paint(box.wide);
    };
    const end = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      tools.choose({ task: packed(next) });
      at(k).focus({ preventScroll: true });
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
    move(event);
  }

  // At one x, over ε: the laws of the noise by label, what Bayes makes of ε, and what q does.
  function reading(width, height) {
    const noise = noiseOf(state), widths = noise[stop], far = Math.min(2.6 * Math.max(...widths), 8 * Math.min(...widths) + 4);
    const unit = 10 ** Math.floor(Math.log10(far)), step = unit * [0.5, 1, 2, 5].find((m) => (2 * far) / (m * unit) <= 7), most = Math.floor(far / step);
    const ticks = Array.from({ length: 2 * most + 1 }, (_, k) => Number(((k - most) * step).toPrecision(3)));
    const sheet = svg(width, height, { role: "img", "aria-label": `What noise tells at x = ${X[stop]}` });
    const { inner, across, up } = frame(sheet, width, height, -far, far, ticks, "ε (in units of x)", "probability of label 1");
    words(sheet, inner.left, 13, `x = ${String(X[stop]).replace("-", "−")}:`);
    [["Bayes", 62, { style: `stroke:${ONE}` }], ["q", 132, { style: `stroke:${INK}`, "stroke-dasharray": "7 4" }], ["p(y|x)", 168, { class: "tl-mark" }]].forEach(([name, left, style]) => {
      make("path", { d: `M${inner.left + left},9h18`, class: "tl-line", ...style }, sheet);
      words(sheet, inner.left + left + 22, 13, name);
    });
    const e = Array.from({ length: 241 }, (_, k) => far * Math.sinh((k / 120 - 1) * 4) / Math.sinh(4)); // dense in the middle
    const both = e.map((v) => joint(found.p, widths, stop, v)), top = Math.max(...both.flat());
    [ZERO, ONE].forEach((colour, k) => {
      const ring = [`${across(-far)},${up(0)}`, ...both.map((v, j) => `${across(e[j])},${up((0.9 * v[k]) / top)}`), `${across(far)},${up(0)}`];
      make("path", { d: `M${ring.join("L")}Z`, style: `fill:${colour};stroke:${colour}`, "fill-opacity": 0.2, "stroke-width": 0.8, "stroke-dasharray": k ? "" : "4 2" }, sheet);
    });
    make("line", { x1: inner.left, x2: inner.right, y1: up(found.p[stop]), y2: up(found.p[stop]), class: "tl-mark" }, sheet);
    for (const [q, colour, dash] of [[Q.bayes, ONE, ""], [state.q, INK, "7 4"]]) {
      const curve = e.map((v) => [v, Math.exp(logQ(q, found.p, noise, stop, v)[1])]).filter(([, v]) => Number.isFinite(v));
      if (curve.length) line(sheet, `M${curve.map(([v, p]) => `${across(v)},${up(p)}`).join("L")}`, colour, { "stroke-dasharray": dash });
    }
    const show = (event) => {
      const place = sheet.getBoundingClientRect(), left = (event.clientX - place.left) * (width / place.width);
      const v = -far + ((left - inner.left) / (inner.right - inner.left)) * 2 * far;
      sheet.querySelectorAll(".tl-cross, .tl-told").forEach((old) => old.remove());
      if (Math.abs(v) > far) return;
      make("line", { x1: across(v), x2: across(v), y1: inner.top, y2: inner.bottom, class: "tl-cross" }, sheet);
      const [bayes, other] = [Q.bayes, state.q].map((q) => Math.exp(logQ(q, found.p, noise, stop, v)[1]));
      words(sheet, inner.left + 4, inner.top + 14, `ε = ${v.toPrecision(2)}: Bayes ${bayes.toFixed(2)}, q ${other.toFixed(2)}`, { class: "tl-told" });
    };
    sheet.addEventListener("pointermove", show);
    sheet.addEventListener("pointerdown", show);
  }

  // The sums: H(T) = I + H(T|E), the bound, and the gap between it and I.
  function sums(width) {
    const { now, price, error } = found, height = 150, sheet = svg(width, height, { role: "group", "aria-label": "H(T) is I(T, E) and H(T|E); I(T, E) is the bound and the gap" });
    const inner = { left: 12, right: width - 12 }, X_ = (v) => inner.left + ((Math.max(BELOW, Math.min(-BELOW, v)) - BELOW) / (-2 * BELOW)) * (inner.right - inner.left);
    [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6].forEach((v) => {
      [16, 52, 88].forEach((y) => make("line", { x1: X_(v), x2: X_(v), y1: y, y2: y + 17, class: v ? "tl-grid" : "tl-axis" }, sheet));
      words(sheet, X_(v), height - 20, String(v).replace("-", "−"), { "text-anchor": "middle" });
    });
    words(sheet, (inner.left + inner.right) / 2, height - 4, "nats", { "text-anchor": "middle", "data-axis": "x" });
    const bar = (top, from, to, colour, name, more) => {
      const [a, b] = [X_(Math.min(from, to)), X_(Math.max(from, to))];
      make("rect", { x: a, y: top, width: Math.max(0, b - a), height: 13, style: `fill:${colour}`, "data-bar": name, "data-value": to - from, ...more }, sheet);
      if (from < BELOW || to < BELOW) words(sheet, inner.left - 2, top + 11, "◂", { class: "tl-value", style: `fill:${INK};stroke:var(--tl-panel);stroke-width:3px;paint-order:stroke` });
    };
    const row = (top, parts) => { // a label in pieces, each with its colour in front of it
      const words_ = make("text", { x: inner.left, y: top }, sheet);
      for (const [text, colour] of parts) {
        const span = document.createElementNS("http://www.w3.org/2000/svg", "tspan");
        if (colour) {
          const key = span.cloneNode();
          key.textContent = "■ ";
          key.setAttribute("style", `fill:${colour}`);
          words_.append(key);
        }
        span.textContent = `${text} `;
        words_.append(span);
      }
    };
    row(14, [[`H(T) ${short(now.H)} =`], [`I ${short(now.I)}`, ONE], ["+"], [`H(T|E) ${short(now.given)}`, ZERO]]);
    bar(18, 0, now.I, ONE, "I");
    bar(18, now.I, now.H, ZERO, "given");
    row(50, [[`bound ${short(now.bound)}`, INK]]);
    bar(54, 0, now.bound, INK, "bound");
    row(86, price === null ? [[`gap ${short(now.gap)}`, ERROR]] : [[`gap ${short(now.gap)} =`], [`price of sum ${short(price)}`, PRICE], ["+"], [`error ${short(error)}`, ERROR]]);
    bar(90, now.bound, now.bound + (price === null ? now.gap : error), ERROR, price === null ? "gap" : "error");
    if (price !== null) bar(90, now.I - price, now.I, PRICE, "price");
  }
  function paint(width) {
    box.wide = width;
    const beside = width > 600, half = beside ? (width - 8) / 2 : width;
    box.replaceChildren();
    task(half, 220);
    reading(half, 220);
    sums(width);
  }

  return function bound(wanted, controls) {
    state = wanted;
    found = follow(state);
    const columns = { panel: [], series: [], x: [], value: [] };
    const add = (panel, series, x, value) => Object.entries({ panel, series, x, value: Number(value.toFixed(6)) }).forEach(([name, v]) => columns[name].push(v));
    let cut = false;
    for (const ratio of controls.find((control) => control.column === "ratio").values) {
      const { H, given, I, bound: value } = quantities(found.p, { ...state, ratio });
      cut = cut || value < BELOW;
      [H, I, given, value].forEach((v, k) => add(v < BELOW ? `nats, below ${BELOW}` : "nats over the ratio of widths", SERIES[k], ratio, v));
    }
    found.p.forEach((p, k) => add("task", "p(y = 1|x)", X[k], p));
    noiseOf(state).forEach((widths, k) => widths.forEach((s, y) => add("task", `width for label ${y}`, X[k], s)));
    return {
      columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])),
      note: told(found) + (cut ? ` (The line of the bound ends at ${String(BELOW).replace("-", "−")} nats.)` : ""),
      own: (width, given) => {
        tools = given;
        paint(width);
        queueMicrotask(() => box.nextElementSibling.querySelectorAll("button").forEach((entry) => SERIES.includes(entry.dataset.name) || entry.remove()));
        return box;
      },
    };
  };
})()
