// All that the reader can set: one declared list. Controls, the page's address, presets and links that hide controls
// follow from it.

const KINDS = {
  none: "no noise",
  activation: "activation noise",
  gaussian: "Gaussian injections",
  penalty: "explicit regulariser",
  dropout: "dropout",
  random: "random dropout",
  node: "noise node",
  learned: "learned noise",
};
const either = (...kinds) => (state) => kinds.some((kind) => [state.left, state.right].includes(kind));

/** name, label, group, values (numbers: a slider; text: a menu, `names` for the reader), start, `when` it matters. */
export const SETTINGS = [
  { name: "left", label: "left network", group: "Noise", values: Object.keys(KINDS), names: KINDS, start: "none" },
  { name: "right", label: "right network", group: "Noise", values: Object.keys(KINDS), names: KINDS, start: "dropout" },
  { name: "train", label: "α at training", group: "Noise", values: [0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.2, 1.5, 2, 3], start: 0.5, when: either("activation") },
  { name: "test", label: "α at inference", group: "Noise", values: [0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.2, 1.5, 2, 3], start: 0.5, when: either("activation") },
  { name: "n", label: "passes averaged, n", group: "Noise", values: [1, 2, 3, 5, 10, 20, 30], start: 5, when: either("activation") },
  { name: "sigma", label: "σ of the injections", group: "Noise", values: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1], start: 0.3, when: either("gaussian", "penalty") },
  { name: "p", label: "dropped at most, p", group: "Noise", values: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], start: 0.5, when: either("dropout", "random") },
  { name: "node", label: "σ of the node", group: "Noise", values: [0, 0.3, 1, 3, 10, 20, 30, 100], start: 10, when: either("node") },
  { name: "begin", label: "learned noise begins at", group: "Noise", values: [0.05, 0.1, 0.2, 0.3, 0.5, 1, 2], start: 0.5, when: either("learned") },
  { name: "data", label: "points", group: "Points", values: ["moons", "circles", "spirals", "xor", "blobs"], start: "moons" },
  { name: "size", label: "training points", group: "Points", values: [10, 20, 40, 60, 100, 200, 500], start: 60 },
  { name: "spread", label: "noise of the points", group: "Points", values: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1], start: 0.4 },
  { name: "seed", label: "seed", group: "Points", values: Array.from({ length: 20 }, (_, k) => k), start: 0 },
  { name: "layers", label: "hidden layers", group: "Network", values: [1, 2], start: 2 },
  { name: "width", label: "units a layer", group: "Network", values: [2, 4, 8, 16], start: 16 },
  { name: "activation", label: "activation", group: "Network", values: ["tanh", "ReLU"], start: "tanh" },
  { name: "rate", label: "learning rate", group: "Training", values: [0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1, 3], start: 0.1 },
  { name: "batch", label: "batch size", group: "Training", values: [1, 4, 8, 16, 32, 64], start: 16 },
  { name: "speed", label: "steps a picture", group: "Training", values: [1, 3, 10, 30, 100], start: 10 },
];

const STRENGTHS = { activation: "train", gaussian: "sigma", penalty: "sigma", dropout: "p", random: "p", node: "node", learned: "begin" };

/** The strength in training of a kind of noise, as the controls have it. */
export const strengthOf = (state, kind) => (kind in STRENGTHS ? state[STRENGTHS[kind]] : 0);

/** Those that a running training obeys at once; any other begins it anew. */
export const LIVE = ["train", "test", "n", "sigma", "p", "node", "rate", "batch", "speed"];

export const PRESETS = {
  "Dropout as augmentation": {
    set: { left: "none", right: "dropout", p: 0.5, data: "moons", size: 40, spread: 0.5 },
    see: [
      "Every mask makes another small network, to which each point looks as if it lay a little elsewhere: forty points serve as many.",
      "Let 5,000 steps go by. On the left the training loss sinks towards nothing and the test loss climbs; on the right less so.",
    ],
  },
  "Penalty = noise?": {
    set: { left: "gaussian", right: "penalty", sigma: 0.1, data: "moons", size: 60, spread: 0.4 },
    see: [
      "Left: Gaussian noise in the data and behind each hidden layer. Right: no noise, but the penalty that stands for it to second order.",
      "Begin at σ = 0.1: the maps look alike. Then move σ up while they train: terms come in that the penalty leaves out.",
    ],
  },
  Catapult: {
    set: { left: "none", right: "node", node: 20, activation: "ReLU", layers: 1, rate: 0.2, data: "moons", size: 100, spread: 0.3, seed: 3, speed: 1 },
    see: [
      "A random number goes in beside each point, by weights of its own. They throw the loss up, and then the network gets rid of them.",
      "See the thin line jump and the norm fall. Then try σ = 3 (the node is left alone), 30 (a throw that leaves scars), 100 (no way back).",
    ],
  },
  "Too much noise": {
    set: { left: "none", right: "activation", train: 3, test: 3, n: 1, data: "moons", size: 100, spread: 0.2 },
    see: [
      "Balanced activation noise, three times as strong as tanh can answer. With one pass the border on the right jumps at every picture.",
      "Raise n to 30: it stands nearly still. Is the network good now? Set α at inference to 0: what is lost was lost in training.",
    ],
  },
  "Learned noise": {
    set: { left: "none", right: "learned", begin: 1, data: "circles", size: 60, spread: 0.3 },
    see: [
      "A second small network decides how much noise each point gets, and is trained for the same loss.",
      "Watch the deviation of the noise: it goes down that slope which makes the training loss small, and less noise makes it smaller.",
    ],
  },
};

export const start = () => Object.fromEntries(SETTINGS.map(({ name, start: value }) => [name, value]));

/** The nearest value that a setting allows; its start for what is none of it. */
function allowed({ values, start: first }, wanted) {
  if (typeof first === "string") return values.includes(wanted) ? wanted : first;
  const number = wanted === null || !wanted.trim() ? NaN : Number(wanted);
  return Number.isFinite(number) ? values.reduce((a, b) => (Math.abs(b - number) < Math.abs(a - number) ? b : a)) : first;
}

const PREFIX = "playground.";

/** What the address asks for: {state, hidden: the names of controls that it hides}, or null if it asks for nothing. */
export function fromAddress(hash) {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  if (![...asked.keys()].some((key) => key.startsWith(PREFIX))) return null;
  const state = Object.fromEntries(SETTINGS.map((setting) => [setting.name, allowed(setting, asked.get(PREFIX + setting.name))]));
  const names = SETTINGS.map(({ name }) => name);
  return { state, hidden: (asked.get(PREFIX + "hide") || "").split(" ").filter((name) => names.includes(name)) };
}

/** The address of a state: what is not as at the start, and the controls that it hides. */
export function toAddress(state, hidden) {
  const asked = new URLSearchParams();
  for (const { name, start: first } of SETTINGS) if (state[name] !== first) asked.set(PREFIX + name, state[name]);
  if (hidden.length) asked.set(PREFIX + "hide", hidden.join(" "));
  return String(asked);
}
