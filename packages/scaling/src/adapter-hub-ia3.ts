import { defineMethod, eachLinear, type MethodFactory, type Option, ones, type Scope } from '@peftjs/core';
import { concatAll, constant, reshape, slice, type Tensor } from '@peftjs/tensor';
import { type Model, nameMatches, type Path } from '@peftjs/transformer';
import { scaleOutput } from './scale-output.ts';

type Projection = 'q' | 'k' | 'v';
const projections: readonly Projection[] = ['q', 'k', 'v'];

/** Options of `adapterHubIa3`. */
export interface AdapterHubIa3Options {
  /** Which of the attention's projections are scaled. Default keys and values, as in the paper. */
  readonly attention?: readonly Projection[];
}

const attentionOption: Option<readonly Projection[]> = {
  key: 'attn_matrices',
  fallback: () => ['k', 'v'],
  expected: 'some of q, k, v',
  accepts: (v) => Array.isArray(v) && v.length > 0 && v.every((p) => projections.includes(p)),
};

const roles = { q: 'query', k: 'key', v: 'value' } as const;

/** Ones for the projections that are not scaled, the trained values for the others. */
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
const scaledPaths = ({ parts, layout }: Model, attention: readonly Projection[]): ReadonlyMap<Path, boolean> => {
  const projections = parts(attention.map((p) => roles[p]));
  const ofMlp = new Set(parts(['gate', 'up', 'down']).map(({ path }) => path));
  const mlp = [...ofMlp].filter((path) =>
    layout.defaultTarget('adapterHubIntermediate')?.some((name) => nameMatches(name, path)),
  );
  const fusedOf = (path: Path): boolean => parts(['query', 'key', 'value']).filter((p) => p.path === path).length > 1;
  return new Map([...projections.map(({ path }) => path), ...mlp].map((path) => [path, fusedOf(path)]));
};

/**
 * (IA)³ as the adapters library has it: the outputs of the key and value projections and of one layer of the MLP are scaled, y = l⊙(Wx + b)
 * with l of shape [out, 1], 1 at the start; of GPT-2's fused projection the keys and values alone. Files are that library's. Merges exactly.
 * Throws `bad-option`. Liu et al., 2022. https://arxiv.org/abs/2205.05638
 */
export const adapterHubIa3: MethodFactory<AdapterHubIa3Options> = defineMethod<AdapterHubIa3Options>({
  name: 'adapterHubIa3',
  formula: {
    merges: true,
    options: { attention: attentionOption },
    attach: (model, scope, { attention }) => {
      const paths = scaledPaths(model, attention);
      return eachLinear(
        model,
        scope,
        (path) => paths.has(path),
        'adapterHubIa3',
        (base, layer, path) => {
          const own = layer.at('loras.default');
          return scaleOutput(
            base,
            paths.get(path)
              ? fusedRow(own, base.outDim, attention)
              : reshape(own.param('lora_B', [base.outDim, 1], ones), [-1]),
          );
        },
      );
    },
  },
  files: {
    peftType: 'PEFTJS_ADAPTER_HUB_IA3',
    layout: 'adapter-hub',
    reads: ({ architecture, composition_mode: mode }) => architecture === 'lora' && mode === 'scale',
    computes: {
      alpha: [1],
      dropout: [0],
      intermediate_lora: [true],
      leave_out: [],
      output_lora: [false],
      r: [1],
      selfattn_lora: [true],
      use_dora: [false],
      use_gating: [false],
    },
    config: () => ({
      alpha: 1,
      architecture: 'lora',
      composition_mode: 'scale',
      dropout: 0,
      init_weights: 'ia3',
      init_weights_seed: null,
      intermediate_lora: true,
      leave_out: [],
      output_lora: false,
      r: 1,
      selfattn_lora: true,
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
