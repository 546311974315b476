// How many draws does an image need? One race of racing.py, as it was measured, look by look: who is still drawn, and
// by how much its mean energy lies above the least one.
(() => {
  // SHIPPED, from explorers.py: by data set images {image, side, label}; by data set and α runs, see _runs there;
  // n, the most draws; border, by n: how many standard errors a class must lie above the least to be out
  const CLASSES = 10, ROW = 25, HEAD = 24;
  let tools, state, found;

  const racing = (text) => SHIPPED.runs[text.dataset][text.alpha];
  const unpacked = new Map(); // looks as [[n, [[class, energy, error], …]], …]
  function looksOf(run) {
    if (!unpacked.has(run)) {
      const numbers = halves(run.numbers);
      let at = -2;
      unpacked.set(run, run.looks.map(([n, classes, least]) => [n, [...classes].map((k) => [Number(k), least + numbers[(at += 2)], numbers[at + 1]])]));
    }
    return unpacked.get(run);
  }
  // The race up to n draws: its last look, where each class ended, and the energies that it took.
  function follow(wanted) {
    const runs = racing(wanted), at = Math.min(wanted.image, runs.length) - 1, looks = looksOf(runs[at]), run = SHIPPED.images[wanted.dataset][at];
    const past = looks.filter(([n]) => n <= wanted.n), [n, now] = past[past.length - 1];
    const last = Array(CLASSES).fill(0);
    for (const [at, classes] of past) for (const [k] of classes) last[k] = at;
    const drawn = new Set(now.map(([k]) => k));
    const energies = Object.fromEntries(past.flatMap(([, classes]) => classes.map((row) => [row[0], row]))); // the last of each
    const best = now.reduce((a, b) => (b[1] < a[1] ? b : a))[0];
    // a race is over when one class is left; at its last look the rule, which did not need to be told, is applied here
    const end = looks[looks.length - 1][0], least = energies[best][1], border = SHIPPED.border[n] || Infinity;
    const beaten = now.every(([k, energy, error]) => k === best || energy - least > border * error);
    const settled = end <= wanted.n && (end < SHIPPED.n || beaten);
    return { run, n, last, drawn, energies, best, settled, taken: last.reduce((a, b) => a + b) };
  }
  const words = (parent, x, y, text, more = {}) => tools.make("text", { x, y, ...more }, parent, `${text}`);
  const count = (v) => v.toLocaleString("en");

  function picture(sheet, size) {
    const { run } = found, bytes = Uint8Array.from(atob(run.image), (c) => c.charCodeAt(0)), area = run.side ** 2;
    const canvas = tools.make("canvas", { width: run.side, height: run.side }), pen = canvas.getContext("2d");
    const pixels = pen.createImageData(run.side, run.side), grey = bytes.length === area;
    for (let k = 0; k < area; k++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * k + c] = bytes[grey ? k : c * area + k];
      pixels.data[4 * k + 3] = 255;
    }
    pen.putImageData(pixels, 0, 0);
    tools.make("image", { x: 0, y: HEAD, width: size, height: size, href: canvas.toDataURL(), style: "image-rendering:pixelated" }, sheet);
    words(sheet, 0, 14, `class ${run.label}`, { class: "tl-first" });
  }

  // A row a class: the gap to the least mean energy, and BORDER standard errors of it.
  function gaps(sheet, left, width) {
    const { energies, drawn, best, last, n } = found, least = energies[best][1], border = SHIPPED.border[n] || 0;
    const right = left + width - 16, inner = left + 30, low = HEAD + CLASSES * ROW;
    const reach = Math.max(...[...drawn].map((k) => energies[k][1] - least + border * energies[k][2]), 1e-9) * 1.05;
    const X = (gap) => inner + (Math.min(gap, reach) / reach) * (right - inner);
    words(sheet, inner, 14, "class by class: mean energy above the least one");
    for (let k = 0; k <= 4; k++) {
      const gap = (k * reach) / 4;
      tools.make("line", { x1: X(gap), x2: X(gap), y1: HEAD, y2: low, class: k ? "tl-grid" : "tl-axis" }, sheet);
      words(sheet, X(gap), low + 16, Number(gap.toPrecision(2)), { "text-anchor": k === 4 ? "end" : "middle", "data-axis": "x" });
    }
    for (let k = 0; k < CLASSES; k++) {
      if (!energies[k]) continue;
      const y = HEAD + (k + 0.5) * ROW, [, energy, error] = energies[k], gap = energy - least;
      words(sheet, inner - 8, y + 4.5, k, { "text-anchor": "end", class: k === found.run.label ? "tl-first" : "" });
      if (!drawn.has(k)) {
        words(sheet, inner + 8, y + 4.5, `out after ${count(last[k])} draws`, { "data-out": k, style: "fill:var(--tl-soft)" });
        continue;
      }
      const colour = k === best ? "var(--tl-b)" : "var(--tl-a)";
      if (k !== best && border) tools.make("path", { d: `M${X(Math.max(0, gap - border * error))},${y}H${X(gap + border * error)}`, style: `stroke:${colour}`, "stroke-width": 2.5 }, sheet);
      const mark = k === best ? `M${X(0)},${y - 7}l7,7l-7,7l-7,-7z` : `M${X(gap) - 5},${y}a5,5 0 1 0 10,0a5,5 0 1 0 -10,0`;
      tools.make("path", { d: mark, style: `fill:${colour}`, "data-class": k, "data-gap": gap, "data-error": error }, sheet);
    }
    words(sheet, inner, low + 36, border ? "diamond: the least; a line above 0: out (or beaten by another)" : "diamond: the least; nobody is out yet");
  }

  function paint(width) {
    const box = tools.make("div", { role: "group" }), wide = width > 560, size = wide ? 210 : 120;
    const height = HEAD + CLASSES * ROW + 46 + (wide ? 0 : size + 30);
    const sheet = tools.make("g", { role: "img", "aria-label": told() }, tools.make("svg", { viewBox: `0 0 ${width} ${height}`, width, height }, box));
    picture(sheet, size);
    if (wide) gaps(sheet, size + 24, width - size - 24);
    else gaps(tools.make("g", { transform: `translate(0 ${size + 34})` }, sheet), 0, width);
    return box;
  }

  function told() {
    const { run, n, drawn, best, settled, taken } = found, plain = CLASSES * state.n;
    const share = `${Number(((100 * taken) / plain).toPrecision(2))} % of the ${count(plain)} energies of the plain way`;
    const right = best === run.label ? "which it is" : `but it is class ${run.label}`;
    if (settled) return `Settled after ${count(n)} draws: class ${best}, ${right}. Up to ${count(state.n)} draws that is ${share}.`;
    return `After ${count(n)} draw${n > 1 ? "s" : ""}, with ${drawn.size} classes still drawn, class ${best} leads. It took ${share}.`;
  }

  return function race(wanted, controls) {
    state = wanted;
    found = follow(state);
    const columns = { panel: [], series: [], x: [], value: [], error: [] };
    const add = (panel, series, x, value, error = null) => Object.entries({ panel, series, x, value, error }).forEach(([name, v]) => columns[name].push(v));
    for (const n of controls.find((control) => control.column === "n").values) {
      add("energies", "racing", n, follow({ ...state, n }).taken / 1000);
      add("energies", "the plain way", n, (CLASSES * n) / 1000);
    }
    Object.values(found.energies).forEach(([k, energy, error]) => add("mean energy of a class", "racing", k, energy, error));
    return {
      columns: Object.fromEntries(Object.entries(columns).map(([name, data]) => [name, { data }])),
      note: told(),
      own: (width, given) => {
        tools = given;
        return paint(width);
      },
    };
  };
})()
