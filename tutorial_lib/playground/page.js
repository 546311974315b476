// The playground's page: controls from the declared list, two maps, charts and a table, and the loop that trains.
import { chart, drawMap, make, palette, short } from "./draw.js";
import { SIDES, SIZE, TESTS, begin, mapOf, measure, remember, step } from "./run.js";
import { LIVE, PRESETS, SETTINGS, fromAddress, start, toAddress } from "./state.js";

const BUDGET = 9; // milliseconds of training a picture, so that 60 pictures a second leave time to draw
const ROWS = [
  ["accuracy on test points", ({ testAccuracy: v }) => `${v.toFixed(1)} %`],
  ["… moved by noise of deviation 0.4", ({ corrupted: v }) => `${v[2].toFixed(1)} %`],
  ["loss in training, with its noise (last pass)", ({ noisyLoss: v }) => v.toPrecision(3)],
  ["loss on training points, without", ({ trainLoss: v }) => v.toPrecision(3)],
  ["loss on test points", ({ testLoss: v }) => v.toPrecision(3)],
  ["margin (median distance to the border)", ({ margin: v }) => (v === null ? "–" : v === Infinity ? "no border" : v.toFixed(2))],
  ["expected calibration error", ({ calibration: v }) => `${v.toFixed(1)} %`],
  ["norm of the node, or deviation of the learned noise", ({ norm: v }) => (v === null ? "–" : v.toPrecision(3)), "learns"],
  ["phase of the noise node", ({ phase: v }) => v || "–", "node"],
];

export function playground(root, id) {
  const ours = !!document.querySelector("article.bd-article"); // the address is the book's: state may stand in it
  let state = start(), hidden = [], world = null, playing = false, maps = [null, null], measured = [null, null], turn = 0;
  root.textContent = "";
  const sheet = document.createElement("canvas");
  sheet.width = sheet.height = SIZE;

  // ---- what there is on the page ----
  const presets = make("div", { class: "pg-row", role: "group", "aria-label": "Presets" }, root);
  for (const name of Object.keys(PRESETS)) button(presets, name, () => preset(name)).dataset.preset = name;
  const see = make("div", { class: "pg-see", "aria-live": "polite", hidden: "" }, root);
  const views = make("div", { class: "pg-maps" }, root);
  const canvases = SIDES.map((name, k) => {
    const figure = make("figure", {}, views), caption = make("figcaption", {}, figure);
    const canvas = make("canvas", { role: "img", width: 480, height: 480 }, figure);
    for (const what of ["pointermove", "pointerdown"]) canvas.addEventListener(what, (event) => point(canvas, event));
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && (told.textContent = HINT));
    return { canvas, caption, name, k };
  });
  const HINT = "Point at a map, or tap it, to read the probabilities there.", told = make("p", { class: "pg-told", "aria-live": "polite" }, root, HINT);
  const bar = make("div", { class: "pg-row pg-bar", role: "group", "aria-label": "Training" }, root);
  const play = button(bar, "▶ Play", () => go(!playing), "pg-main");
  button(bar, "Step", () => (go(false), step(world, state), show(true)));
  button(bar, "Start again", () => (go(false), again()));
  button(bar, "Next seed", () => set("seed", (state.seed + 1) % 20));
  const count = make("span", { class: "pg-count" }, bar);
  const charts = make("div", { class: "pg-charts" }, root);
  const drawn = Object.fromEntries(
    [["loss", "Loss: test points (thick), training (thin)"], ["corruption", "Accuracy, %, when test points are moved"], ["calibration", "Calibration: share of right answers, %"], ["norm", "Norm of the node, or learned deviation"]].map(([name, title]) => {
      const figure = make("figure", {}, charts);
      make("figcaption", {}, figure, title);
      return [name, make("svg", { role: "img", "aria-label": title }, figure)];
    }),
  );
  const groups = make("div", { class: "pg-groups" }, root), fields = {};
  for (const setting of SETTINGS) field(setting);
  const table = make("table", {}, root);
  const head = make("tr", {}, make("thead", {}, table)), body = make("tbody", {}, table);
  make("th", { scope: "col" }, head, `now, on ${TESTS} test points`);
  const heads = SIDES.map((name) => {
    const cell = make("th", { scope: "col" }, head);
    make("span", { class: `pg-key pg-${name}` }, cell);
    return make("span", {}, cell);
  });
  const cells = ROWS.map(([name]) => {
    const line = make("tr", {}, body);
    make("th", { scope: "row" }, line, name);
    return SIDES.map(() => make("td", {}, line, "–"));
  });
  const tools = make("div", { class: "pg-row" }, root);
  if (ours) button(tools, "Copy link", link);
  button(tools, "Save PNG", picture);
  button(tools, "Save the run as CSV", csv);
  if (ours) focus();

  function button(where, text, act, look = "") {
    const node = make("button", { type: "button", class: look }, where, text);
    node.addEventListener("click", act);
    return node;
  }

  function field(setting) {
    const { name, group, values, names } = setting, numeric = typeof values[0] === "number";
    let box = [...groups.children].find((one) => one.dataset.group === group);
    if (!box) {
      box = make("fieldset", { "data-group": group }, groups);
      make("legend", {}, box, group);
    }
    const label = make("label", { for: `${id}-${name}` }, box), text = make("span", {}, label);
    const input = make(numeric ? "input" : "select", { id: `${id}-${name}`, "data-setting": name }, label);
    if (numeric) Object.assign(input, { type: "range", min: 0, max: values.length - 1, step: 1 });
    else values.forEach((value) => make("option", { value }, input, names ? names[value] : value));
    input.addEventListener("input", () => set(name, numeric ? values[input.value] : input.value));
    input.addEventListener("keydown", (event) => event.stopPropagation()); // JupyterLab would take the arrow keys
    fields[name] = { setting, label, text, input, numeric, box };
  }

  /** Controls as the state has them; only those that matter, and that the address does not hide. */
  function settle() {
    for (const { setting, label, text, input, numeric } of Object.values(fields)) {
      const value = state[setting.name];
      input.value = numeric ? setting.values.indexOf(value) : value;
      if (numeric) input.setAttribute("aria-valuetext", String(value));
      text.textContent = numeric ? `${setting.label}\u00a0= ${value}` : setting.label;
      label.hidden = hidden.includes(setting.name) || (setting.when && !setting.when(state));
    }
    for (const box of groups.children) box.hidden = [...box.querySelectorAll("label")].every((label) => label.hidden);
    const { names } = fields.left.setting;
    SIDES.forEach((side, k) => {
      heads[k].textContent = names[state[side]];
      canvases[k].caption.textContent = names[state[side]];
    });
  }

  // ---- what the reader does ----
  function set(name, value) {
    state[name] = value;
    settle();
    write();
    if (LIVE.includes(name)) show(true);
    else again();
  }
  function preset(name) {
    go(false);
    state = { ...start(), ...PRESETS[name].set };
    see.hidden = false;
    see.replaceChildren(...PRESETS[name].see.map((line) => make("p", {}, null, line)));
    settle();
    write();
    again();
  }
  function again() {
    world = begin(state);
    show(true);
  }
  function go(on) {
    if (on && !playing) requestAnimationFrame(frame);
    playing = on;
    play.textContent = on ? "❚❚ Pause" : "▶ Play";
    if (!on && world) show(true);
  }
  function frame() {
    if (!playing || !root.isConnected) return;
    const since = performance.now();
    for (let k = 0; k < state.speed && (k === 0 || performance.now() - since < BUDGET); k++) step(world, state);
    show(false);
    if (world.sides.every(({ dead }) => dead)) go(false);
    else requestAnimationFrame(frame);
  }

  // ---- what is shown: at every picture one of the maps, at every tenth all else; all of it where nothing plays ----
  function show(all) {
    const colours = palette(root);
    turn += 1;
    world.sides.forEach((of, k) => {
      if (!all && turn % 2 !== k) return;
      if (!of.dead || all) maps[k] = mapOf(of, state, turn);
      drawMap(canvases[k].canvas, sheet, maps[k], world.train, colours);
    });
    count.textContent = `step ${world.step.toLocaleString("en")}`;
    if (!all && turn % 10) return;
    measured = world.sides.map((of, k) => measure(world, state, of, maps[k]));
    remember(world, measured);
    plot();
    ROWS.forEach(([, of], row) => measured.forEach((m, k) => (cells[row][k].textContent = m.dead ? (row === 0 ? "diverged" : row === ROWS.length - 1 && m.phase ? m.phase : "–") : of(m))));
    if (all) canvases.forEach(({ canvas, caption, k }) => canvas.setAttribute("aria-label", `Map of the ${SIDES[k]} network (${caption.textContent}): ${cells[0][k].textContent} of test points right after ${world.step} steps`));
  }
  function plot() {
    const { history } = world, far = Math.max(1, world.step), along = { from: 0, to: far, label: "steps" };
    const over = (of) => measured.map((_, side) => ({ side, points: history.map(({ step: at, sides }) => [at, sides[side].dead ? null : of(sides[side])]) }));
    const loss = [...over((m) => m.testLoss), ...world.sides.map(({ passes }, side) => ({ side, thin: true, points: passes.map(({ step: at, loss: v }) => [at, v]) }))];
    const seen = loss.flatMap(({ points }) => points.map(([, v]) => v)).filter((v) => v > 0 && Number.isFinite(v)), power = (v) => 10 ** v;
    const low = power(Math.max(-4, Math.floor(Math.log10(Math.min(0.1, ...seen))))), high = power(Math.min(6, Math.ceil(Math.log10(Math.max(1, ...seen)))));
    chart(drawn.loss, loss, along, { from: low, to: high, log: true });
    const alive = measured.map((m, side) => ({ m, side })).filter(({ m }) => !m.dead);
    chart(drawn.corruption, alive.map(({ m, side }) => ({ side, points: m.levels.map((level, k) => [level, m.corrupted[k]]) })), { from: 0, to: 1, label: "deviation of the noise" }, { from: 40, to: 100 });
    chart(drawn.calibration, alive.map(({ m, side }) => ({ side, points: m.bins.map(({ confidence, accuracy }) => [100 * confidence, 100 * accuracy]) })), { from: 50, to: 100, label: "confidence, %" }, { from: 50, to: 100, diagonal: true });
    const kinds = [state.left, state.right], learns = kinds.includes("node") || kinds.includes("learned");
    ROWS.forEach(([, , needs], k) => (body.children[k].hidden = needs === "node" ? !kinds.includes("node") : needs === "learns" && !learns));
    drawn.norm.closest("figure").hidden = !learns;
    if (learns) {
      const lines = world.sides.map((of, side) => (of.net.noise === "node" ? { side, points: of.passes.map(({ step: at, norm }) => [at, norm]) } : over((m) => m.norm)[side])), most = Math.max(...lines.flatMap(({ points }) => points.map(([, v]) => (Number.isFinite(v) ? v : 0))));
      chart(drawn.norm, lines, along, { from: 0, to: Math.min(100, most * 1.1) || 1 });
    }
  }
  function point(canvas, event) {
    const box = canvas.getBoundingClientRect(), { reach, size } = maps[0];
    const at = [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height].map((v) => Math.min(0.9999, Math.max(0, v)));
    const k = Math.floor(at[1] * size) * size + Math.floor(at[0] * size), [x1, x2] = at.map((v) => ((2 * v - 1) * reach).toFixed(1).replace("-", "−"));
    told.textContent = `At (${x1}, ${x2}) the probability of a square is ${maps[0].p[k].toFixed(2)} on the left, ${maps[1].p[k].toFixed(2)} on the right.`;
  }

  // ---- the address, and a version that hides controls ----
  function write() {
    if (!ours) return;
    const asked = toAddress(state, hidden);
    history.replaceState(null, "", asked ? `#${asked}` : location.pathname + location.search);
  }
  function read() {
    const asked = fromAddress(location.hash);
    if (asked) ({ state, hidden } = asked);
    return !!asked;
  }
  function link(event) {
    write();
    const button = event.target, text = button.textContent, done = (said) => {
      button.textContent = said;
      setTimeout(() => (button.textContent = text), 1500);
    };
    (navigator.clipboard ? navigator.clipboard.writeText(location.href) : Promise.reject()).then(() => done("Copied"), () => done("It is in the address bar"));
  }
  function focus() {
    const box = make("details", {}, root);
    make("summary", {}, box, "A focused version, for a class");
    make("p", {}, box, "What is ticked is hidden. The link then opens the playground as it stands now, without these controls.");
    const ticks = make("div", { class: "pg-groups" }, box), boxes = [];
    for (const { name, label } of SETTINGS) {
      const line = make("label", { class: "pg-check" }, ticks), input = make("input", { type: "checkbox", "data-hide": name }, line);
      make("span", {}, line, label);
      boxes.push(input);
      input.addEventListener("change", () => {
        hidden = boxes.filter((one) => one.checked).map((one) => one.dataset.hide);
        settle();
        write();
      });
    }
    const row = make("div", { class: "pg-row" }, box);
    button(row, "Copy this link", link);
    button(row, "Show all controls", () => {
      hidden = [];
      boxes.forEach((one) => (one.checked = false));
      settle();
      write();
    });
    box.addEventListener("toggle", () => boxes.forEach((one) => (one.checked = hidden.includes(one.dataset.hide))));
  }

  // ---- to take away ----
  function give(blob, ending) {
    const url = URL.createObjectURL(blob);
    make("a", { href: url, download: `playground.${ending}` }).click();
    URL.revokeObjectURL(url);
  }
  function picture() {
    const whole = make("canvas", { width: 1000, height: 580 }), pen = whole.getContext("2d"), colours = palette(root);
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, 1000, 580);
    pen.fillStyle = colours.ink;
    pen.font = "20px system-ui, sans-serif";
    canvases.forEach(({ canvas, caption, k }) => {
      pen.drawImage(canvas, 10 + 500 * k, 50);
      pen.fillText(caption.textContent, 10 + 500 * k, 32);
      pen.fillText(`${cells[0][k].textContent} of ${TESTS} test points right, step ${world.step}`, 10 + 500 * k, 560);
    });
    whole.toBlob((blob) => give(blob, "png"), "image/png");
  }
  function csv() {
    const names = ["trainLoss", "testLoss", "trainAccuracy", "testAccuracy", "calibration", "margin", "norm"];
    const lines = world.history.flatMap(({ step: at, sides }) => sides.map((m, k) => [at, SIDES[k], state[SIDES[k]], ...names.map((name) => (m.dead || m[name] === null ? "" : m[name]))]));
    give(new Blob([[["step", "side", "noise", ...names], ...lines].map((line) => line.join(",") + "\r\n").join("")], { type: "text/csv" }), "csv");
  }

  const asked = ours && read();
  settle();
  again();
  if (asked) root.scrollIntoView();
  new MutationObserver(() => show(true)).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  if (ours) addEventListener("hashchange", () => {
    if (!read()) return;
    go(false);
    settle();
    again();
  });
  root.playground = { // for who wants to look inside
    get state() { return state; },
    get measured() { return measured; },
    run(steps) {
      go(false);
      for (let k = 0; k < steps; k++) step(world, state);
      show(true);
    },
  };
}
