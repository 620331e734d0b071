import type { Emitter, Value } from './emitter.ts';
import { product, rows } from './matmul.ts';
import type { Rule } from './rule.ts';

interface NormAttrs {
  readonly eps: number;
}

/** The normalised rows of a matrix, and 1/√(mean(x²) + eps) of each: [rows, 1]. The gradient finds the forward pass's here. */
const rms = (g: Emitter, x: Value, weight: Value, eps: number): readonly [Value, Value] =>
  g.call('SimplifiedLayerNormalization', [x, weight], [x, { shape: [...x.shape.slice(0, -1), 1], type: 'float' }], {
    axis: -1,
    epsilon: { float: eps },
  }) as readonly [Value, Value];

export const rms_norm: Rule<'x' | 'weight', NormAttrs> = ({ g, x, weight }, { eps }) =>
  g.reshape(rms(g, rows(g, x), weight, eps)[0], x.shape);

export const layer_norm: Rule<'x' | 'weight' | 'bias', NormAttrs> = ({ g, x, weight, bias }, { eps }) =>
  g.reshape(
    g.node('LayerNormalization', [rows(g, x), weight, bias], rows(g, x).shape, { axis: -1, epsilon: { float: eps } }),
    x.shape,
  );

const meanOfRow = (g: Emitter, x: Value): Value =>
  g.node('ReduceMean', [x, g.ints([-1])], [...x.shape.slice(0, -1), 1], { keepdims: 1 });

/** Σ over rows, as a product with a row of ones: faster than a reduction along the first axis. */
const sumRows = (g: Emitter, x: Value): Value => {
  const ones = g.node('Expand', [g.scalar(1), g.ints([1, x.shape[0]!])], [1, x.shape[0]!]);
  return g.reshape(product(g, ones, x), [x.shape[1]!]);
};

/** With y the forward result: dx = r·(w·dy − x·r·mean(y·dy)), r = 1/√(mean(x²) + eps); dWeight = Σ dy·x·r. */
export const rms_norm_grad: Rule<'x' | 'weight' | 'dy', NormAttrs> = (t, { eps }) => {
  const { g, weight, isUsed } = t;
  const [x, dy] = [rows(g, t.x), rows(g, t.dy)];
  const mul = (a: Value, b: Value): Value => g.node('Mul', [a, b], a.shape);
  const [y, r] = rms(g, x, weight, eps);
  const along = mul(meanOfRow(g, mul(y, dy)), r);
  const dx = mul(g.node('Sub', [mul(dy, weight), mul(x, along)], x.shape), r);
  return [
    g.reshape(dx, t.x.shape),
    isUsed(1) ? g.reshape(product(g, r, mul(dy, x), { transposeA: true }), weight.shape) : null,
  ];
};

/** dx = r·(w·dy − mean(w·dy) − n·mean(n·w·dy)) with n = (x − mean)·r, r = 1/√(var + eps); dWeight = Σ dy·n; dBias = Σ dy. */
export const layer_norm_grad: Rule<'x' | 'weight' | 'dy', NormAttrs> = (t, { eps }) => {
  const { g, weight, isUsed } = t;
  const [x, dy] = [rows(g, t.x), rows(g, t.dy)];
  const mul = (a: Value, b: Value): Value => g.node('Mul', [a, b], a.shape);
  const sub = (a: Value, b: Value): Value => g.node('Sub', [a, b], a.shape);
  const centred = sub(x, meanOfRow(g, x));
  const variance = meanOfRow(g, mul(centred, centred));
  const r = g.node(
    'Reciprocal',
    [g.node('Sqrt', [g.node('Add', [variance, g.scalar(eps)], variance.shape)], variance.shape)],
    variance.shape,
  );
  const n = mul(centred, r);
  const pushed = mul(dy, weight);
  const along = meanOfRow(g, mul(n, pushed));
  const dx = mul(sub(sub(pushed, meanOfRow(g, pushed)), mul(n, along)), r);
  return [g.reshape(dx, t.x.shape), isUsed(1) ? sumRows(g, mul(dy, n)) : null, isUsed(2) ? sumRows(g, dy) : null];
};
