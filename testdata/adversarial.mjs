// Adds to adversarial.json what ONNX Runtime computes for its rows in float32 (losses; it has no gradients):
//
//   npm install onnxruntime-node && node adversarial.mjs
//
// The model is the usual recipe: log p = LogSoftmax(x), the label's, -(1 - exp(log p))^gamma log p.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const ort = createRequire(process.cwd() + "/")("onnxruntime-node");

// Protocol buffers: numbers, and everything else as bytes.
function varint(n) {
  const out = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return [...out, n];
}
const number = (field, n) => [...varint(field * 8), ...varint(n)];
const bytes = (field, b) => [...varint(field * 8 + 2), ...varint(b.length), ...b];
const text = (field, s) => bytes(field, [...Buffer.from(s)]);

const FLOAT = 1, INT64 = 7;
const axis = (n) => bytes(5, [...text(1, "axis"), ...number(3, n), ...number(20, 2)]);
const node = (op, inputs, output, extra = []) =>
  bytes(1, [...inputs.flatMap((s) => text(1, s)), ...text(2, output), ...text(4, op), ...extra]);
const scalar = (name, v) =>
  bytes(5, [...number(2, FLOAT), ...text(8, name), ...bytes(9, [...new Uint8Array(new Float32Array([v]).buffer)])]);
const value = (field, name, type, shape) => {
  const dims = bytes(2, shape.flatMap((n) => bytes(1, number(1, n))));
  return bytes(field, [...text(1, name), ...bytes(2, bytes(1, [...number(1, type), ...dims]))]);
};

function model(classes, gamma) {
  const graph = [
    ...node("LogSoftmax", ["x"], "logs", axis(1)),
    ...node("GatherElements", ["logs", "label"], "logp", axis(1)),
    ...node("Exp", ["logp"], "p"),
    ...node("Sub", ["one", "p"], "q"),
    ...node("Pow", ["q", "gamma"], "power"),
    ...node("Mul", ["power", "logp"], "product"),
    ...node("Neg", ["product"], "y"),
    ...text(2, "loss"),
    ...scalar("one", 1),
    ...scalar("gamma", gamma),
    ...value(11, "x", FLOAT, [1, classes]),
    ...value(11, "label", INT64, [1, 1]),
    ...value(12, "y", FLOAT, [1, 1]),
  ];
  return Uint8Array.from([...number(1, 8), ...bytes(8, number(2, 13)), ...bytes(7, graph)]);
}

// C99 hex floats.
function parseHex(s) {
  const m = /^(-?)0x([01])\.?([0-9a-f]*)p([-+]?\d+)$/.exec(s);
  const fraction = m[3] === "" ? 0 : parseInt(m[3], 16) / 16 ** m[3].length;
  return (m[1] ? -1 : 1) * (Number(m[2]) + fraction) * 2 ** Number(m[4]);
}
function hex(v) {
  if (Number.isNaN(v)) return "NaN";
  if (!Number.isFinite(v)) return v > 0 ? "Inf" : "-Inf";
  if (v === 0) return Object.is(v, -0) ? "-0x0p+0" : "0x0p+0";
  let e = 0, a = Math.abs(v);
  for (; a >= 2; e++) a /= 2;
  for (; a < 1; e--) a *= 2;
  return `${v < 0 ? "-" : ""}0x1.${((a - 1) * 2 ** 24).toString(16).padStart(6, "0")}p${e}`;
}

const cases = JSON.parse(readFileSync("adversarial.json"));
for (const c of cases) {
  const pattern = c.pattern.map(parseHex), step = parseHex(c.step);
  const z = Float32Array.from({ length: c.classes }, (_, j) => pattern[j % pattern.length] + step * j);
  for (const [j, v] of Object.entries(c.set)) z[j] = parseHex(v);
  const options = { intraOpNumThreads: 1, logSeverityLevel: 3 };
  const session = await ort.InferenceSession.create(model(c.classes, parseHex(c.gamma)), options);
  const { y } = await session.run({
    x: new ort.Tensor("float32", z, [1, c.classes]),
    label: new ort.Tensor("int64", BigInt64Array.from([BigInt(c.label)]), [1, 1]),
  });
  c.onnx = { loss: hex(y.data[0]) };
}
writeFileSync("adversarial.json", "[" + cases.map((c) => JSON.stringify(c)).join(",\n") + "]\n");
