import type { Factory } from '@peftjs/cli/shared';
import type { Model } from '@peftjs/transformer';

/** Options of a method, as its factory takes them. */
export type Options = Readonly<Record<string, unknown>>;

/** Trained parameters that each method comes as near to as its options let it: LoRA of rank 4 on all linear layers of the base model. */
export const budget = 68_608;

/** Share of the weights of those layers that this is. */
const share = budget / 2_555_904;

const ranks = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 72, 80, 96, 128];
const each = <T>(name: string, values: readonly T[]): Options[] => values.map((value) => ({ [name]: value }));

/** Sizes of methods that have no rank, or more than one option that matters. */
const own: Readonly<Record<string, readonly Options[]>> = {
  adalora: ranks.map((rank) => ({ rank, targetRank: Math.max(1, Math.round((2 * rank) / 3)) })),
  bdlora: ranks.map((rank) => ({
    rank,
    blockedA: ['o_proj', 'down_proj'],
    blockedB: ['q_proj', 'k_proj', 'v_proj', 'gate_proj', 'up_proj'],
  })),
  // Their `prepare` looks at data for every size that is tried: that of LoRA, or the budget's.
  corda: each('rank', [4]),
  eva: each('rank', [4]),
  loraGa: each('rank', [4]),
  sparseAdapter: each('bottleneck', [27]),
  boft: each('blockSize', [2, 4, 8, 16]),
  c3a: each('blockSize', [64, 32, 16]),
  // A step costs time by frequency, and ten times LoRA's with the budget's 2,450.
  fourierft: each('frequencies', [250]),
  waveft: each('frequencies', [2450]),
  frod: each('share', [0.005, 0.01, 0.02, 0.03, 0.04, 0.05]),
  krona: [
    { rows: 4, columns: 4 },
    { rows: 8, columns: 8 },
    { rows: 8, columns: 4 },
    { rows: 4, columns: 8 },
    { rows: 4, columns: 16 },
    { rows: 16, columns: 4 },
  ],
  lokr: [4, 8].flatMap((factor) => [4, 8, 16, 24, 32, 48].map((rank) => ({ factor, rank }))),
  oft: each('blockSize', [4, 8, 16, 32, 64]),
  // VeRA's vectors of rank 2,139 would cost twenty times the model: its own rank.
  vera: [{}],
  pvera: [{}],
  said: each('dimension', [budget]),
  supertuning: each('sparsity', [1 - share]),
  // More values than its own 64 a layer make steps that no rate is small enough for.
  tinylora: [{}],
  unilora: each('length', [budget]),
  vblora: [64, 128, 256, 512].map((vectors) => ({ vectors, length: 64 })),
  osf: each('kept', [0.5, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99]),
  peqa: each('groupSize', [16, 32, 64]),
  gps: each('connections', [8]),
  diffPruning: each('keep', [share]),
  sensitivitySpt: each('keep', [0.002, 0.005, 0.01, share]),
  moLora: [2, 3, 4].map((experts) => ({ experts, topK: 2, rank: 1 })),
  mov: each('experts', [2, 4, 8]),
  tinyAttention: each('heads', [14, 15, 16]),
  ladderSide: each('reduction', [4, 8, 10, 12, 16]),
  pTuning: each('hidden', [16, 32, 48, 64, 80, 96]),
  lorta: [128, 192, 224, 256].map((rank) => ({ rank, target: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] })),
  adaMix: [{ rank: 2, experts: 2 }],
  layerNormTuning: [{}],
  prefixTuning: each('length', [20, 32, 48, 64]),
};

/** Sizes to choose from. */
const sizesOf = ({ name, options = {} }: Factory): readonly Options[] => {
  if (own[name]) return own[name];
  if ('rank' in options) return each('rank', ranks);
  if ('bottleneck' in options) return each('bottleneck', ranks);
  if ('keep' in options) return each('keep', [share]);
  if ('length' in options) return each('length', [20, 24, 32, 40, 48, 56, 64]);
  return [{}];
};

/**
 * The options to try, besides what they have by themselves: all linear layers of the blocks, and an update scaled as the method does it by
 * default, whatever its rank.
 */
export const candidates = (factory: Factory, model: Model, steps: number): readonly Options[] => {
  const { name, options: known = {} } = factory;
  const fallback = (option: string): number => known[option]!.fallback(model) as number;
  return sizesOf(factory).map((size) => {
    const rank = size['rank'] as number | undefined;
    const scaled = rank !== undefined && 'alpha' in known && fallback('rank') > 0;
    return {
      ...('target' in known && name !== 'layerNormTuning' && { target: 'all-linear' }),
      ...(scaled && { alpha: (fallback('alpha') / fallback('rank')) * rank }),
      ...('steps' in known && { steps }),
      // Half of the steps choose what is left, half train it.
      ...('pruneAfter' in known && { pruneAfter: Math.floor(steps / 2) }),
      ...size,
    };
  });
};
