import type { Emitter, Value } from './emitter.ts';
import type { Rule } from './rule.ts';

/** Angles by batch are one long table whose positions count on from batch to batch. */
const rotated = (g: Emitter, x: Value, cos: Value, sin: Value, inverse = false): Value => {
  const [batch, , tokens, headDim] = x.shape as [number, number, number, number];
  const byBatch = cos.shape.length === 3;
  const table = (t: Value): Value => g.reshape(t, [(byBatch ? batch : 1) * tokens, headDim / 2]);
  const positions = byBatch ? g.reshape(g.iota(batch * tokens), [batch, tokens]) : g.ints([0]);
  const sines = inverse ? g.node('Neg', [table(sin)], table(sin).shape) : table(sin);
  return g.node('com.microsoft.RotaryEmbedding', [x, positions, table(cos), sines], x.shape);
};

interface Turn {
  readonly inverse?: boolean;
}

export const rope: Rule<'x' | 'cos' | 'sin', Turn> = ({ g, x, cos, sin }, { inverse }) =>
  rotated(g, x, cos, sin, inverse);

export const rope_pair: Rule<'q' | 'k' | 'cos' | 'sin', Turn> = ({ g, q, k, cos, sin, isUsed }, { inverse }) =>
  [q, k].map((x, i) => (isUsed(i) ? rotated(g, x, cos, sin, inverse) : null));
