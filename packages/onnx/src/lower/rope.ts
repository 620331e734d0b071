import type { Value } from './emitter.ts';
import type { Rule } from './rule.ts';

/** Angles by batch are one long table whose positions count on from batch to batch. */
export const rope: Rule<'x' | 'cos' | 'sin', { readonly inverse?: boolean }> = ({ g, x, cos, sin }, { inverse }) => {
  const [batch, , tokens, headDim] = x.shape as [number, number, number, number];
  const byBatch = cos.shape.length === 3;
  const table = (t: Value): Value => g.reshape(t, [(byBatch ? batch : 1) * tokens, headDim / 2]);
  const positions = byBatch ? g.reshape(g.iota(batch * tokens), [batch, tokens]) : g.ints([0]);
  return g.node(
    'com.microsoft.RotaryEmbedding',
    [x, positions, table(cos), inverse ? g.node('Neg', [table(sin)], table(sin).shape) : table(sin)],
    x.shape,
  );
};
