import {
  type Chosen,
  defineMethod,
  eachLinear,
  flag,
  layerNumbers,
  layersKept,
  type MethodFactory,
  number,
  type Option,
  ones,
  type Scope,
} from '@peftjs/core';
import { concatAll, constant, mul, reshape, slice, type Tensor } from '@peftjs/tensor';
import { type Model, nameMatches, type Path } from '@peftjs/transformer';
import { scaleOutput } from './scale-output.ts';

type Projection = 'q' | 'k' | 'v';
const projections: readonly Projection[] = ['q', 'k', 'v'];

/** Options of `adapterHubIa3`. */
export interface AdapterHubIa3Options {
  /** Which of the attention's projections are scaled; an empty list for none. Default keys and values, as in the paper. */
  readonly attention?: readonly Projection[];
  /** Whether the layer of the MLP is that the library calls intermediate: `down_proj` of a Llama, `c_fc` of GPT-2. Default true. */
  readonly intermediate?: boolean;
  /** The same of the one that it calls output: `up_proj`, `c_proj`. Default false. */
  readonly output?: boolean;
  /** Numbers of layers in which nothing is scaled. Default: none. */
  readonly leaveOut?: readonly number[];
  /** Factor α of the vectors; of a layer that holds all projections, of its whole output. Default 1. */
  readonly scale?: number;
}

const attentionOption: Option<readonly Projection[]> = {
  key: 'attn_matrices',
  fallback: () => ['k', 'v'],
  expected: 'some of q, k, v',
  accepts: (v) => Array.isArray(v) && v.every((p) => projections.includes(p)),
  toJson: (chosen) => (chosen.length > 0 ? [...chosen] : ['k', 'v']),
  fromJson: (value, { selfattn_lora: own }) => (own === false ? [] : value),
};

const roles = { q: 'query', k: 'key', v: 'value' } as const;

/** The trained values, or ones for the projections that are not scaled. */
const fusedRow = (own: Scope, outDim: number, attention: readonly Projection[]): Tensor => {
  const width = outDim / projections.length;
  const scaled = projections.filter((p) => attention.includes(p));
  const l = reshape(own.param('lora_B', [scaled.length * width, 1], ones), [-1]);
  const parts = projections.map((p) => {
    const at = scaled.indexOf(p) * width;
    return at < 0
      ? constant(new Float32Array(width).fill(1), [width])
      : slice(l, { axis: 0, start: at, end: at + width });
  });
  return concatAll(parts, 0);
};

/** The layers that are scaled: those of the projections, and of the MLP the one that the adapters library calls `intermediate`. */
const scaledPaths = (
  model: Model,
  { attention, intermediate, output, leaveOut }: Chosen<AdapterHubIa3Options>,
): ReadonlyMap<Path, boolean> => {
  const { parts, layout } = model;
  const projections = parts(attention.map((p) => roles[p]));
  const ofMlp = new Set(parts(['gate', 'up', 'down']).map(({ path }) => path));
  const tables = [...(intermediate ? ['adapterHubIntermediate'] : []), ...(output ? ['adapterHubOutput'] : [])];
  const names = tables.flatMap((table) => layout.defaultTarget(table) ?? []);
  const mlp = [...ofMlp].filter((path) => names.some((name) => nameMatches(name, path)));
  const fusedOf = (path: Path): boolean => parts(['query', 'key', 'value']).filter((p) => p.path === path).length > 1;
  const all = layersKept(model, [...projections.map(({ path }) => path), ...mlp], leaveOut);
  return new Map(all.map((path) => [path, fusedOf(path)]));
};

/**
 * (IA)³ as the adapters library has it: the outputs of the key and value projections and of one layer of the MLP are scaled, y = α·l⊙(Wx + b)
 * with l of shape [out, 1], 1 at the start; of GPT-2's fused projection the keys and values alone. Files are that library's. Merges exactly.
 * Throws `bad-option`. Liu et al., 2022. https://arxiv.org/abs/2205.05638
 */
export const adapterHubIa3: MethodFactory<AdapterHubIa3Options> = defineMethod<AdapterHubIa3Options>({
  name: 'adapterHubIa3',
  formula: {
    merges: true,
    options: {
      attention: attentionOption,
      intermediate: flag('intermediate_lora', true),
      output: flag('output_lora', false),
      leaveOut: layerNumbers('leave_out'),
      scale: number('alpha', 1),
    },
    attach: (model, scope, options) => {
      const { attention, scale } = options;
      const paths = scaledPaths(model, options);
      return eachLinear(
        model,
        scope,
        (path) => paths.has(path),
        'adapterHubIa3',
        (base, layer, path) => {
          const own = layer.at('loras.default');
          const l = paths.get(path)
            ? fusedRow(own, base.outDim, attention)
            : reshape(own.param('lora_B', [base.outDim, 1], ones), [-1]);
          return scaleOutput(base, scale === 1 ? l : mul(l, scale));
        },
      );
    },
  },
  files: {
    peftType: 'PEFTJS_ADAPTER_HUB_IA3',
    layout: 'adapter-hub',
    reads: ({ architecture, composition_mode: mode }) => architecture === 'lora' && mode === 'scale',
    computes: {
      dropout: [0],
      r: [1],
      use_dora: [false],
      use_gating: [false],
    },
    config: (_, { attention }) => ({
      architecture: 'lora',
      composition_mode: 'scale',
      dropout: 0,
      init_weights: 'ia3',
      init_weights_seed: null,
      r: 1,
      selfattn_lora: attention.length > 0,
      use_dora: false,
      use_gating: false,
      vera_b: null,
      vera_d: null,
    }),
  },
  card: {
    about: 'scales of keys, values and one layer of the MLP',
    paper: {
      authors: 'Liu et al.',
      year: 2022,
      title: 'Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning',
      url: 'https://arxiv.org/abs/2205.05638',
    },
    learningRate: 3e-3,
    narrowRate: 3.2e-2,
  },
});
