import { defineMethod, type MethodFactory, penalty, type State, targeted } from '@peftjs/core';
import { mul } from '@peftjs/tensor';
import { addDelta } from '../add-delta.ts';
import { fanInFanOut, notComputedInLora, refusedInLora } from '../peft-config.ts';
import { gatherImportance, importanceOf } from './importance.ts';
import { type AdaloraOptions, adaloraOptions, type KeptTriplets } from './options.ts';
import { orthogonality } from './orthogonality.ts';
import { allocate } from './rank-budget.ts';
import { triplets } from './triplets.ts';

/** The triplets of a trained state whose E is not zero; null where there is nothing to leave out. */
const keptIn = (state: State): KeptTriplets | null => {
  const all = [...state].filter(([name]) => name.endsWith('lora_E'));
  const kept = all.map(([name, { data }]) => [name, Array.from(data, (v) => v !== 0)] as const);
  const flags = kept.flatMap(([, own]) => own);
  return flags.includes(true) && flags.includes(false) ? Object.fromEntries(kept) : null; // all zero: not trained yet
};

/** The kept columns of a matrix, row-major. */
const columns = (data: ArrayLike<number>, kept: readonly boolean[]): Float32Array =>
  Float32Array.from(data).filter((_, i) => kept[i % kept.length]);

const rows = (data: ArrayLike<number>, kept: readonly boolean[]): Float32Array => {
  const width = data.length / kept.length;
  return Float32Array.from(data).filter((_, i) => kept[Math.floor(i / width)]);
};

/** Without the triplets that were let go. */
const compacted = (state: State, kept: KeptTriplets): State =>
  new Map(
    [...state].map(([name, { shape, data }]) => {
      const own = kept[name.replace(/lora_[AB]$/, 'lora_E')];
      if (!own) return [name, { shape, data }]; // trained beside: biases, modules
      const rank = own.filter(Boolean).length;
      return name.endsWith('lora_B')
        ? [name, { shape: [shape[0]!, rank], data: columns(data, own) }]
        : [name, { shape: [rank, shape[1]!], data: rows(data, own) }];
    }),
  );

/**
 * AdaLoRA: y = Wx + (alpha/rank)·B·(E∘(A·dropout(x))), like singular vectors A [rank, in] and B [out, rank], both N(0, 0.02²) at the start, and
 * values E [rank, 1], zero at the start. The loss gets a penalty on how far A and B are from orthonormal. Every step gathers how important
 * each triplet is (an average of |θ·∂θ| times its uncertainty); at some steps the least important of all layers lose their E, from `rank` a
 * layer to `targetRank` on average. What is saved holds the kept ones alone. The host reads `rank` numbers a layer, at allocations only; the
 * product is never formed. Training must have as many steps as `steps` says. Merges. Throws `bad-option`, and when attached `no-match`.
 * Zhang et al., 2023. https://arxiv.org/abs/2303.10512
 */
export const adalora: MethodFactory<AdaloraOptions> = defineMethod<AdaloraOptions>({
  name: 'adalora',
  formula: {
    merges: true,
    options: adaloraOptions,
    check: ({ steps = 1000, warmup = 0, final = 0, rank = 12, targetRank = 8 }) => {
      if (targetRank > rank) return `targetRank ${targetRank} must not be above rank ${rank}`;
      return warmup < steps - final
        ? null
        : `warmup ${warmup} and final ${final} leave none of ${steps} steps between them`;
    },
    compact: async (_model, options, state, _on, again) => {
      const kept = keptIn(state);
      return kept
        ? { method: again({ ...options, kept }), state: compacted(state, kept) }
        : { method: again(options), state };
    },
    attach: (model, scope, options) => {
      const paths = targeted(model.linears.keys(), options.target, 'adalora');
      const layers = new Map(
        paths.map((path) => [path, triplets(model.linears.get(path)!, scope.at(path), path, options)]),
      );
      const used = [...layers.values()].filter(({ rank }) => rank > 0);
      const isFinal = Object.keys(options.kept).length > 0;
      if (!isFinal) for (const layer of used) importanceOf(layer);
      const { steps, final, beta1, beta2 } = options;
      return {
        linear: new Map(
          [...layers].map(([path, own]) => [path, (base) => (own.rank > 0 ? addDelta(base, own) : base)]),
        ),
        ...(used.length > 0 && { objective: penalty(() => mul(orthogonality(used), options.orthogonality)) }),
        ...(!isFinal && {
          statistics: (step) => gatherImportance(used, scope, step, { beta1, beta2, until: steps - final }),
          decision: allocate(used, options),
        }),
      };
    },
  },
  files: {
    peftType: 'ADALORA',
    mixes: 'anywhere',
    computes: notComputedInLora,
    refuses: (config) => refusedInLora(config),
    config: (model) => ({ ...fanInFanOut(model), init_lora_weights: true }),
  },
  card: {
    about: 'low-rank updates whose ranks a budget shifts to where they count',
    paper: {
      authors: 'Zhang et al.',
      year: 2023,
      title: 'AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2303.10512',
    },
    learningRate: 5e-3,
    narrowRate: 0.1,
  },
});
