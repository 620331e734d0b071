import { add, concatAll, mul, PeftError, slice, softmax, sub, sum, type Tensor, type Variable } from '@peftjs/tensor';
import { affine, type Model } from '@peftjs/transformer';
import { type Init, normal, zeros } from '../init.ts';
import type { Scope } from '../method.ts';
import type { Blend } from './blend.ts';

/** The identity, with 10⁻⁶ beside the diagonal as the adapters library has it. */
const nearIdentity: Init = ([rows, columns]) =>
  Float32Array.from({ length: rows! * columns! }, (_, i) => (i % (columns! + 1) === 0 ? 1 : 1e-6));

/** Attention over what several adapters add. */
export interface AdapterAttention {
  /** V·Σᵢ wᵢ·uᵢ, with w = softmaxᵢ(q · kᵢ): query and each of `added` are [batch, tokens, d]. `note` is given w, [batch, tokens, adapters]. */
  mix(query: Tensor, added: readonly Tensor[], note?: (weights: Tensor) => void): Tensor;
  /** V [d, d]; null where there is none. */
  readonly value: Variable | null;
}

/**
 * The attention of AdapterFusion for outputs of `size` values: q = W_q x + b_q, kᵢ = W_k uᵢ + b_k with matrices from N(0, 0.02²) and biases
 * 0; V begins at the identity, and is left out where `values` is false. Pfeiffer et al., 2020. https://arxiv.org/abs/2005.00247
 */
export const adapterAttention = (scope: Scope, size: number, values: boolean): AdapterAttention => {
  const part = (name: string): ((x: Tensor) => Tensor) => {
    const weight = scope.param(`${name}.weight`, [size, size], normal(0.02));
    const bias = scope.param(`${name}.bias`, [size], zeros);
    return (x) => affine(x, { weight, bias });
  };
  const [queryOf, keyOf] = [part('query'), part('key')];
  const value = values ? scope.param('value.weight', [size, size], nearIdentity) : null;
  return {
    value,
    mix: (query, added, note) => {
      const q = queryOf(query); // [batch, tokens, d]
      const scores = added.map((u) => sum(mul(q, keyOf(u)), { axes: [2], keepDims: true }));
      const weights = softmax(concatAll(scores, 2)); // [batch, tokens, adapters]
      note?.(weights);
      const mixed = added
        .map((u, i) => mul(u, slice(weights, { axis: 2, start: i, end: i + 1 })))
        .reduce((a, b) => add(a, b));
      return value ? affine(mixed, { weight: value, bias: null }) : mixed;
    },
  };
};

const unfused = ['embed', 'heads', 'kv', 'crossKv', 'experts', 'embedding'];

/** The blend of `fuse`: y + attention over yᵢ − y, by y. */
export const fusing = (model: Model, scope: Scope, values: boolean): Blend => ({
  who: 'fuse',
  at: (kind, path) => {
    if (unfused.includes(kind))
      throw new PeftError(
        'bad-option',
        `fuse: a part changes ${path} at ${kind}, which is no output [batch, tokens, d]; use methods of the stream or of layers`,
      );
    const size = model.linears.get(path)?.outDim ?? model.norms.get(path)?.dim ?? model.widthAt(path);
    const { mix } = adapterAttention(scope.at(path), size, values);
    return (parts, plain, call) => {
      if (plain.shape.length !== 3 || String(plain.shape) !== String(parts[0]!.shape))
        throw new PeftError(
          'bad-shape',
          `fuse: ${call.path} gives [${plain.shape.join(', ')}] and [${parts[0]!.shape.join(', ')}]; both must be [batch, tokens, d]`,
        );
      return add(
        plain,
        mix(
          plain,
          parts.map((y) => sub(y, plain)),
        ),
      );
    };
  },
});
