import {
  type AdapterConfig,
  type Chosen,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  isObject,
  type JsonObject,
  type MethodFactory,
  type Option,
  patternValue,
  targets,
  zeros,
} from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import { addDelta } from '../add-delta.ts';
import { lora } from '../lora.ts';
import { type LoraOptions, loraOptions, lowRank, rankAndScaleOf } from '../low-rank.ts';
import { refusedInLora } from '../peft-config.ts';
import { variantConfig } from '../variant-files.ts';
import { startOf } from '../variant-of.ts';

/** The start of a layer: its own rank and alpha, and A [rank, in] row by row. */
export interface EvaStart {
  readonly rank: number;
  readonly alpha: number;
  readonly a: Float32Array;
}

/** Options of `eva`. */
export interface EvaOptions extends Omit<LoraOptions, 'bias'> {
  /** A layer's rank may grow to ρ·`rank`, while the sum over layers stays; 1 leaves all ranks as they are. Default 2. */
  readonly rho?: number;
  /** Divide directions by the root of the singular values of the inputs along them, as often as `prepare` sees each. Default false. */
  readonly whiten?: boolean;
  /** Change alpha with the rank, so that the scale stays. Default true. */
  readonly adjustAlpha?: boolean;
  /** The starts of layers, as `prepare` finds them; layers without one are not adapted. */
  readonly first?: Readonly<Record<Path, EvaStart>>;
}

const rhos: Option<number> = {
  key: 'eva_config.rho',
  fallback: () => 2,
  expected: 'a number of at least 1',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 1,
};

const starts: Option<Readonly<Record<Path, EvaStart>>> = {
  key: null,
  fallback: () => ({}),
  expected: 'the starts of layers, as prepare makes them',
  accepts: (v) => typeof v === 'object' && v !== null,
};

const withoutBias = (({ bias: _, ...rest }) => rest)(loraOptions);

/** Half to even, as Python rounds. */
const rounded = (n: number): number => {
  const whole = Math.round(n);
  return whole - n === 0.5 && whole % 2 !== 0 ? whole - 1 : whole;
};

/** Options of LoRA in which one layer has its start's rank and alpha. */
const withStart = (options: Chosen<EvaOptions>, path: Path, { rank, alpha }: EvaStart): Chosen<LoraOptions> => ({
  ...options,
  bias: 'none',
  rankPattern: { [path]: rank },
  alphaPattern: { [path]: alpha },
});

/** The configuration of LoRA with those ranks. */
const configWith = (config: AdapterConfig, first: Chosen<EvaOptions>['first']): AdapterConfig => {
  const { eva_config: _config, ...rest } = config;
  const each = (of: (start: EvaStart) => number): JsonObject =>
    Object.fromEntries(Object.entries(first).map(([path, start]) => [path, of(start)]));
  return {
    ...rest,
    init_lora_weights: true,
    target_modules: Object.keys(first),
    rank_pattern: each(({ rank }) => rank),
    alpha_pattern: each(({ alpha }) => alpha),
  };
};

/**
 * EVA: LoRA whose A begins as the principal directions of the layer's inputs, B zero, and whose ranks go where those explain most: of all layers' components, as many as their ranks sum up to, those with the largest
 * shares of variance, at most ρ·`rank` in a layer, alpha with them. A layer that gets none is not adapted. `prepare` looks at the examples: covariances of the tokens that are to be learnt are summed on the executor, in place of Hugging
 * Face PEFT's incremental decomposition, which they are the limit of, and decomposed on the host in f64. Saved as an ordinary LoRA. Merges. Throws as `lora`, and when attached `bad-option` before `prepare`, which throws it for fewer tokens than
 * components.
 * Paischer et al., 2024. https://arxiv.org/abs/2410.07170
 */
export const eva: MethodFactory<EvaOptions> = defineMethod<EvaOptions>({
  name: 'eva',
  formula: {
    merges: true,
    options: {
      ...withoutBias,
      target: targets('target_modules', familyTarget('lora')),
      rho: rhos,
      whiten: flag('eva_config.whiten', false),
      adjustAlpha: flag('eva_config.adjust_scaling_factors', true),
      first: starts,
    },
    prepare: async (model, options, look) => {
      const [{ eachInputs }, { explainedBy, sharedRanks }] = await Promise.all([
        import('./collected.ts'),
        import('../algebra/explained.ts'),
      ]);
      const found = new Map<Path, ReturnType<typeof explainedBy>>();
      const paths = options.target as readonly Path[];
      const rankOf = (path: Path): number => rankAndScaleOf(path, { ...options, bias: 'none' }).rank;
      await eachInputs('eva', model, paths, look, { labelled: true }, (path, sums) => {
        const components = rounded(rankOf(path) * options.rho);
        if (sums.count < components)
          throw new PeftError(
            'bad-option',
            `eva: ${path} needs ${components} tokens to learn from, and the examples have ${sums.count}; give more`,
          );
        found.set(path, explainedBy(sums, components));
      });
      const budget = paths.reduce((n, path) => n + rankOf(path), 0);
      const ranks = sharedRanks(new Map([...found].map(([path, { shares }]) => [path, shares])), budget);
      const first: Record<Path, EvaStart> = {};
      for (const [path, rank] of ranks) {
        if (rank === 0) continue;
        const { directions, values } = found.get(path)!;
        const lengths = values.slice(0, rank).map((v) => (options.whiten ? 1 / Math.sqrt(v) : 1));
        const a = directions.subMatrix(0, rank - 1, 0, directions.columns - 1).mulColumnVector(lengths);
        const alpha = patternValue(options.alphaPattern, path) ?? options.alpha;
        first[path] = {
          rank,
          alpha: options.adjustAlpha ? (alpha * rank) / rankOf(path) : alpha,
          a: Float32Array.from(a.to1DArray()),
        };
      }
      return { first };
    },
    compact: async (model, options, state) => ({
      method: lora.fromConfig(configWith(eva(options).config(model), options.first)),
      state,
    }),
    attach: (model, scope, options) => {
      const { first } = options;
      const paths = Object.keys(first);
      if (paths.length === 0)
        throw new PeftError(
          'bad-option',
          'eva: the first values are not computed yet; call prepare with examples first',
        );
      return eachLinear(model, scope, paths, 'eva', (base, own, path) => {
        const start = first[path]!;
        const values = { a: () => start.a, b: zeros };
        return addDelta(base, lowRank(base, own, path, withStart(options, path, start), values));
      });
    },
  },
  files: {
    peftType: 'LORA',
    // Files are LoRA's: what is saved, and Hugging Face PEFT's own, which have all fields of their start.
    reads: (config) => startOf(config) === 'eva' && isObject(config['eva_config']) && !('tau' in config['eva_config']),
    refuses: (config) => refusedInLora(config),
    config: (model) => ({ ...variantConfig(model, {} as never), init_lora_weights: 'eva' }),
  },
  card: {
    about: 'low-rank updates that begin with the principal directions of inputs',
    paper: {
      authors: 'Paischer et al.',
      year: 2024,
      title: 'Parameter Efficient Fine-tuning via Explained Variance Adaptation',
      url: 'https://arxiv.org/abs/2410.07170',
    },
    learningRate: 4e-4,
    narrowRate: 1e-2,
  },
});
