// Numbers in half precision, little-endian, from base64: what `halves` of draw.py writes.
(text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 2 }, (_, k) => {
    const h = view.getUint16(2 * k, true), exponent = (h >> 10) & 31, fraction = h & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
    return h & 0x8000 ? -size : size;
  });
}
