// Points of two classes in the plane, about as wide as a standard normal law in both directions.
import { normals, uniforms } from "./random.js";

const turn = (k, t) => { // the arm k of two spirals, from the middle (t = 0) outwards (t = 1)
  const angle = 3.2 * Math.PI * t ** 0.7 * 0.75 + Math.PI * k, radius = 0.25 + 1.95 * t;
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
};

/** Where a point of class k lies before it is moved by noise; `uniform` gives numbers in [0, 1). */
export const SHAPES = {
  moons: (k, uniform) => {
    const t = Math.PI * uniform();
    return k ? [1.4 * (0.5 - Math.cos(t)), 1.4 * (0.25 - Math.sin(t))] : [1.4 * (Math.cos(t) - 0.5), 1.4 * (Math.sin(t) - 0.25)];
  },
  circles: (k, uniform) => {
    const t = 2 * Math.PI * uniform(), radius = k ? 0.8 : 1.8;
    return [radius * Math.cos(t), radius * Math.sin(t)];
  },
  spirals: (k, uniform) => turn(k, uniform()),
  xor: (k, uniform) => {
    const side = uniform() < 0.5 ? 1 : -1, [u, v] = [0.15 + 1.65 * uniform(), 0.15 + 1.65 * uniform()];
    return [side * u, (k ? -side : side) * v];
  },
  blobs: (k) => (k ? [0.9, 0.9] : [-0.9, -0.9]),
};

/** `count` points {x: [x1, x2, x1, x2, …], y: [0, 1, 0, …]}, each moved by normal noise of deviation `spread`. */
export function points(shape, count, spread, seed) {
  const uniform = uniforms(seed), normal = normals(uniform);
  const x = new Float64Array(2 * count), y = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    y[i] = i % 2;
    const [x1, x2] = SHAPES[shape](y[i], uniform);
    x[2 * i] = x1 + spread * normal();
    x[2 * i + 1] = x2 + spread * normal();
  }
  return { x, y };
}
