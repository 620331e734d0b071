import { pfeiffer } from '@peftjs/adapters';
import {
  adapterAttention,
  type Chosen,
  defineMethod,
  flag,
  type JsonValue,
  type MethodFactory,
  type Option,
  penalty as penalised,
} from '@peftjs/core';
import { add, constant, mul, sub, sum, type Tensor, type Variable } from '@peftjs/tensor';
import { type Slot, slot } from '@peftjs/transformer';
import { type FusedAdapters, fusedAdapters, fusedParts } from './fused-adapters.ts';

/** Options of `adapterFusion`. */
export interface AdapterFusionOptions {
  /** Trained adapters of one kind, `houlsby` or `pfeiffer`, by name: `{ a: await snapshot(adapted, { executor }), … }`. They are frozen. */
  readonly adapters: FusedAdapters;
  /** Weight of the penalty Σ(I − V)² in each place, which keeps V near to the identity. Default 0.01. */
  readonly penalty?: number;
  /** Whether V is there: dynamic fusion. False: static fusion, which weighs what the adapters add as it is, without a penalty. Default true. */
  readonly values?: boolean;
}

/** Of the adapters library's configuration: what is computed here. */
const fusionFields = {
  key: true,
  query: true,
  query_before_ln: false,
  residual_before: false,
  temperature: false,
  value_before_softmax: true,
  dropout_prob: null,
};

const penalty: Option<number> = {
  key: 'fusion',
  fallback: () => 0.01,
  expected: 'a number of at least 0',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 0,
  toJson: (weight) => ({ ...fusionFields, value_initialized: true, regularization: weight > 0 }),
  fromJson: (value: JsonValue) => {
    const fields = (value ?? {}) as Readonly<Record<string, JsonValue>>;
    const odd = Object.entries(fusionFields).filter(([field, only]) => (fields[field] ?? null) !== only);
    if (odd.length > 0) throw new TypeError(`${odd.map(([field]) => field).join(', ')} is not computed here`);
    return fields['regularization'] === false ? 0 : 0.01;
  },
};

/** The weights of the adapters in one place of a pass. */
export interface PlaceWeights {
  /** [batch, rows, adapters]; rows in front of the tokens are the first ones. */
  readonly weights: Tensor;
  readonly tokens: number;
  /** The input that says which tokens are there. */
  readonly mask: string;
}

/** Those of all places that a pass went through. */
export const fusionWeights: Slot<readonly PlaceWeights[]> = slot('fusion weights');

const identity = (size: number): Tensor =>
  constant(
    Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0)),
    [size, size],
  );

/**
 * AdapterFusion: after each sublayer with adapters y ← y + V·Σ_i w_i u_i, where u_i is what adapter i adds, w = softmax_i(q · k_i),
 * q = W_q x + b_q of what the adapters read, k_i = W_k u_i + b_k. The adapters and the base are frozen; trained are W_q, W_k from
 * N(0, 0.02²), biases 0, and V [d, d], the identity at the start, which `values: false` leaves out (static fusion). Files are a setup of the adapters library, a folder for each adapter and
 * one for the fusion. Does not merge. Throws `bad-option`, and when attached `state-mismatch`. Pfeiffer et al., 2020.
 * https://arxiv.org/abs/2005.00247
 */
export const adapterFusion: MethodFactory<AdapterFusionOptions> = defineMethod<AdapterFusionOptions>({
  name: 'adapterFusion',
  formula: {
    merges: false,
    options: { adapters: fusedAdapters, penalty, values: flag('fusion.value', true) },
    attach: (model, scope, { adapters, penalty: weight, values: hasValues }: Chosen<AdapterFusionOptions>) => {
      const parts = fusedParts(adapters, model);
      const { around, reads } = parts[0];
      const values: Variable[] = [];
      const fusionName = `adapter_fusion_layer.${parts.map((p) => p.as).join(',')}`;
      const table = around(scope, (own, place) => {
        const ups = parts.map((p) => p.up(p.frozen(own, place.module), place));
        const { mix, value } = adapterAttention(own.at(fusionName), place.hiddenSize, hasValues);
        if (value) values.push(value);
        return (output, stream, call) => {
          const { pass, sequence, tower } = call;
          const x = reads(output, stream, call);
          const mixed = mix(
            x,
            ups.map((up) => up(x)),
            (weights) => {
              const of = { weights, tokens: sequence.tokens, mask: tower.reads.mask };
              pass.put(fusionWeights, [...(pass.get(fusionWeights) ?? []), of]);
            },
          );
          return add(output, mixed);
        };
      });
      const far = (v: Tensor): Tensor => {
        const d = sub(v, identity(v.shape[0]!));
        return mul(sum(mul(d, d)), weight);
      };
      return {
        around: table,
        ...(weight > 0 &&
          values.length > 0 && { objective: penalised(() => values.map(far).reduce((a, b) => add(a, b))) }),
      };
    },
  },
  files: {
    peftType: 'ADAPTER_FUSION',
    layout: 'adapter-hub',
    reads: ({ architecture }) => architecture === 'fuse',
    config: () => ({ architecture: 'fuse' }),
  },
  card: {
    about: 'attention over trained adapters',
    paper: pfeiffer.paper,
    learningRate: 5e-5,
  },
});
