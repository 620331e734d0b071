import { attach } from '@peftjs/core';
import { mul } from '@peftjs/tensor';
import { describeMethod, describeMethods, sumOver, tinyLlama } from '@peftjs/testkit';
import { type Dense, type TaskModel, viaDense } from '@peftjs/transformer';
import { describe } from 'vitest';
import * as family from '../src/index.ts';

const attention = /\.(q_proj|v_proj|c_attn|query|value|q|v)$/;

/** The default of methods that train frequencies. */
const spectral = /\.(q_proj|v_proj|query|value|q|v|mlp\.c_proj)$/;

/** The divisor of n next to its root from below. */
const divisor = (n: number): number =>
  Math.max(...Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0 && d * d <= n));

/** Values of two factors, the first with about the root of the outputs as rows, of the inputs as columns. */
const kronecker = (inDim: number, outDim: number): number => {
  const [rows, columns] = [outDim / divisor(outDim), divisor(inDim)];
  return rows * columns + (outDim / rows) * (inDim / columns);
};

const biases = (model: TaskModel): number =>
  [...model.linears, ...model.norms].reduce((n, [path, part]) => {
    if (model.trainedHeads.includes(path)) return n;
    const bias = 'dense' in part ? part.dense().bias : part.bias;
    return n + (bias?.shape[0] ?? 0);
  }, 0);

/** Queries and values at rank 2, each with matrices of its own. */
const hub = (model: TaskModel, gate: (inDim: number) => number): number =>
  sumOver(model, /\.(q_proj|v_proj|query|value|q|v)$/, (inDim, outDim) => 2 * (inDim + outDim) + gate(inDim)) +
  sumOver(model, /\.c_attn$/, (inDim, outDim) => 2 * (2 * (inDim + outDim / 3) + gate(inDim)));

/** Of A [rank, in] for each pair of layers with one name and size, experts B for all of them, and a router for each. */
const sharedByName = (model: TaskModel, rank: number, experts: number, stride: number): number => {
  const groups = new Map<string, number[]>();
  for (const [path, { inDim, outDim }] of model.linears)
    if (attention.test(path)) {
      const key = `${path.split('.').at(-1)} ${inDim} ${outDim}`;
      groups.set(key, [inDim, outDim, (groups.get(key)?.[2] ?? 0) + 1]);
    }
  return [...groups.values()].reduce(
    (n, [inDim, outDim, layers]) =>
      n + rank * (Math.ceil(layers! / stride) * inDim! + experts * outDim! + layers! * experts),
    0,
  );
};

/** Every third of the layers that are adapted. */
const thirds = (model: TaskModel, start: number): string[] =>
  [...model.linears.keys()].filter((path) => attention.test(path)).filter((_, i) => i % 3 === start);

/** Of LoRA at rank 2 with two blocks in A of some layers, and in B of others. */
const blockDiagonal = (model: TaskModel): number =>
  [0, 1, 2]
    .flatMap((start) => thirds(model, start).map((path) => [start, model.linears.get(path)!] as const))
    .reduce((n, [start, { inDim, outDim }]) => n + (start === 0 ? 1 : 2) * inDim + (start === 1 ? 1 : 2) * outDim, 0);

/** The model with weights a fifth larger, as a base that was quantised badly lacks them. */
const longer = (model: TaskModel): TaskModel => {
  const grown = ({ weight, bias }: Dense): Dense => ({ weight: mul(weight, 1.2), bias });
  return model.with({ linears: new Map([...model.linears].map(([path, layer]) => [path, viaDense(layer, grown)])) });
};

/** The error of methods for models of one tower, for those of several. */
const severalTowers = ({ towers }: TaskModel): RegExp | null =>
  towers.length > 1 ? /is for models of one tower/ : null;

describeMethods(family, {
  hydralora: {
    options: { rank: 2, alpha: 4, heads: 3 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 5 * inDim + 6 * outDim),
  },
  adaMix: {
    options: { rank: 2, experts: 3, consistency: 0.5 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 3 * 2 * (inDim + outDim)),
    formats: [family.lora],
    detaches: 'part', // the passes that are compared
  },
  moLora: {
    options: { rank: 2, experts: 3, topK: 2, balance: 0.1 },
    parameters: (model) =>
      sumOver(model, /^(?!lm_head$|classifier$)/, (inDim, outDim) => 3 * 2 * (inDim + outDim) + 3 * inDim),
  },
  said: {
    options: { dimension: 40, target: (path: string) => attention.test(path) },
    parameters: (model) => 40 + sumOver(model, attention, () => 1),
  },
  moslora: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim + 2)),
  },
  lora: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  loraPlus: {
    options: { rank: 2, alpha: 4, ratio: 8 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  loraFa: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 2 * outDim),
  },
  lLora: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 2 * outDim),
    learningRate: 0.01,
  },
  lorta: {
    options: { rank: 3, alpha: 6 },
    parameters: (model) => {
      const attentions = model.paths('attn').length + model.paths('cross').length;
      return 3 * (model.main.hiddenSize + model.main.headDim + model.main.heads + attentions + 4);
    },
    learningRate: 0.1,
  },
  superLora: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  loraPro: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  riemannianLora: {
    options: { rank: 2, alpha: 4, damping: 0.1 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  // Acts on the last two tokens of one of the texts.
  alora: {
    options: { rank: 2, alpha: 4, invocation: [4] },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    refuses: severalTowers,
  },
  bdlora: {
    options: (model) => ({
      rank: 2,
      alpha: 4,
      blocks: 2,
      blockedA: thirds(model, 0),
      blockedB: thirds(model, 1),
      strict: false,
    }),
    parameters: blockDiagonal,
  },
  mica: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim) => 2 * inDim),
    learningRate: 0.1,
  },
  eva: {
    options: { rank: 2, alpha: 4, rho: 1 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    formats: [family.lora],
  },
  corda: {
    options: { rank: 2, alpha: 4, mode: 'kpm' },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    identity: 'near',
    formats: [family.lora],
  },
  loraGa: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    identity: 'near',
    formats: [family.lora],
  },
  bitDelta: {
    options: (model) => ({ tuned: longer(model) }),
    parameters: (model) => sumOver(model, /^(?!lm_head$|classifier$)/, () => 1),
    identity: false,
  },
  loftq: {
    options: (model) => ({ rank: 2, alpha: 4, before: longer(model) }),
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    identity: false,
    formats: [family.lora],
  },
  pissa: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    identity: 'near',
    formats: [family.lora],
  },
  olora: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    identity: 'near',
    formats: [family.lora],
  },
  kasa: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim + 1)),
    identity: false,
  },
  monteclora: {
    options: { rank: 2, alpha: 4, samples: 3, sampleScale: 0.3, divergence: 0.01, entropy: true },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim) + 2 + 3),
  },
  qalora: {
    options: { rank: 2, alpha: 4, groupSize: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim / 2 + outDim)),
  },
  velora: {
    options: { rank: 2, alpha: 4, groups: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    detaches: 'part',
  },
  dora: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim) + outDim),
    identity: 'near',
    detaches: 'part',
  },
  vera: {
    options: { rank: 6 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 6 + outDim),
    learningRate: 0.1,
  },
  dylora: {
    options: { rank: 3, minRank: 2, evaluationRank: 2, alpha: 4, frozen: false },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 3 * (inDim + outDim)),
  },
  sora: {
    options: { rank: 3, alpha: 4, sparsity: 1, maxSparsity: 5, steps: 8, stages: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 3 * (inDim + outDim + 1)),
  },
  capaboost: {
    options: { rank: 2, alpha: 4, masks: 3 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  loraPrune: {
    options: { rank: 2, alpha: 4, steps: 6, warmup: 0, every: 1 },
    parameters: (model) => sumOver(model, /^(?!lm_head|classifier)/, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  loraShear: {
    options: { rank: 2, alpha: 4, warmup: 0, final: 0, steps: 7, periods: 2, unprunable: 0 },
    parameters: (model) => sumOver(model, /^(?!lm_head|classifier)/, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  loraSp: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  afLora: {
    options: { rank: 2, steps: 8, warmup: 1, interval: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim + 1) + outDim),
    learningRate: 0.1,
  },
  deltaLora: {
    options: { rank: 2, alpha: 4, start: 3 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    detaches: 'part',
  },
  reLora: {
    options: { rank: 2, alpha: 4, period: 3, warmup: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  periodicLora: {
    options: { rank: 2, alpha: 4, period: 3, momentum: 0.25 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  krona: {
    options: { scale: 2 },
    parameters: (model) => sumOver(model, attention, kronecker),
  },
  kAdaptation: {
    options: { dimension: 2, rank: 2, scale: 40 },
    parameters: (model) => 8 + sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  hiwi: {
    options: { rank: 3 },
    parameters: (model) =>
      sumOver(model, attention, (_, outDim) => 6 * outDim) *
      (model.layout.modelType === 'bert' || model.layout.modelType === 'gpt2' ? 2 : 1),
  },
  kronaB: {
    options: { scale: 2, residual: true },
    parameters: (model) => {
      const { hiddenSize: d } = model.main;
      return model.paths('mlp').length * (kronecker(d, d) + 1);
    },
    identity: false,
  },
  loha: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 4 * (inDim + outDim)),
  },
  lokr: {
    options: { rank: 1, alpha: 2 },
    parameters: (model) =>
      sumOver(model, attention, (inDim, outDim) => {
        const [l, m] = [divisor(outDim), divisor(inDim)];
        return l * m + (outDim / l + inDim / m);
      }),
  },
  hira: {
    options: { rank: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  gralora: {
    options: { rank: 2, alpha: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
  },
  hra: {
    options: { rank: 2 },
    parameters: (model) => sumOver(model, attention, (inDim) => 2 * inDim),
    identity: 'near',
  },
  delora: {
    options: { rank: 2, bound: 4 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim) + 1),
  },
  miss: {
    // Which does not divide the inputs.
    options: { rank: 3 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 3 * outDim),
  },
  oft: {
    options: { blockSize: 4 },
    parameters: (model) => sumOver(model, attention, (inDim) => (inDim / 4) * 6),
  },
  road: {
    options: { groupSize: 2 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => outDim),
  },
  c3a: {
    options: { blockSize: 2 },
    parameters: (model) => sumOver(model, spectral, (inDim, outDim) => (inDim * outDim) / 2),
    identity: false,
  },
  shira: {
    options: { rank: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    learningRate: 0.1,
  },
  deft: {
    options: { rank: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)),
    identity: 'near',
  },
  peanut: {
    options: { rank: 3, depth: 1, activation: 'gelu' },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 6 * outDim + 18),
  },
  glora: {
    options: { rank: 2 },
    parameters: (model) =>
      [...model.linears].reduce((n, [path, { inDim, outDim, dense }]) => {
        if (!attention.test(path)) return n;
        return n + 4 * (inDim + outDim) + (dense().bias ? 2 * (inDim + 1) + 2 : 0);
      }, 0),
  },
  fourierft: {
    options: { frequencies: 7, scale: 20 },
    parameters: (model) => sumOver(model, spectral, () => 7),
    identity: false,
  },
  vblora: {
    options: { rank: 2, vectors: 5, length: 2, bound: 0.5 },
    parameters: (model) =>
      5 * 2 +
      sumOver(model, /\.(q_proj|v_proj|c_attn|query|value|q|k|v|o|wi|wo)$/, (inDim, outDim) => 5 * (inDim + outDim)),
    identity: false,
  },
  randlora: {
    options: { rank: 3, alpha: 6 },
    parameters: (model) =>
      sumOver(model, attention, (inDim, outDim) => {
        const small = Math.min(inDim, outDim);
        return Math.ceil(small / 3) * (3 + small);
      }),
  },
  pvera: {
    options: { rank: 3 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 6 + outDim),
    learningRate: 0.1,
  },
  unilora: {
    options: { rank: 2, length: 50, bound: 0.5 },
    parameters: () => 50,
    identity: false,
  },
  tinylora: {
    options: { rank: 2, length: 5, tying: 0.5 },
    parameters: (model) => {
      const layers = sumOver(model, attention, () => 1);
      // Half of them, in neighbours, to the even number where that is none.
      return 5 * Math.max(1, layers % 4 === 1 ? (layers - 1) / 2 : Math.round(layers / 2));
    },
    learningRate: 0.3,
  },
  supertuning: {
    options: { sparsity: 0.8 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => Math.trunc(inDim * outDim * (1 - 0.8))),
    learningRate: 0.1,
  },
  waveft: {
    options: { frequencies: 9, scale: 5, wavelet: 'db2' },
    parameters: (model) => sumOver(model, spectral, () => 9),
    learningRate: 0.1,
  },
  osf: {
    options: { kept: 0.6 },
    parameters: (model) =>
      sumOver(model, /^(?!lm_head|classifier)/, (inDim, outDim) => {
        const small = Math.min(inDim, outDim);
        return (small - Math.trunc(small * 0.6)) * (inDim + outDim + 1);
      }),
    // Gradients are projected.
    detaches: 'part',
  },
  psoft: {
    options: { rank: 3 },
    parameters: (model) => sumOver(model, attention, () => 3 + 2 * 3),
    learningRate: 0.3,
  },
  adamss: {
    options: { directions: 4, subspaces: 3, rank: 2, active: 5, warmup: 0, final: 4, interval: 2 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 3 * 2 * 4 + 2 * outDim),
    learningRate: 0.1,
  },
  lily: {
    options: { rank: 2, stride: 2, experts: 3 },
    parameters: (model) => sharedByName(model, 2, 3, 2),
    causal: false, // the weights of the experts are a mean over all tokens
    together: true,
  },
  frod: {
    options: { share: 0.1 },
    parameters: (model) => sumOver(model, attention, (inDim) => inDim + Math.trunc(inDim * inDim * 0.1)),
    learningRate: 0.1,
  },
  boft: {
    options: { blockSize: 2, factors: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 4 * inDim + outDim),
  },
  adalora: {
    options: { rank: 3, targetRank: 2, alpha: 4, steps: 8, final: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 3 * (inDim + outDim + 1)),
    learningRate: 0.1,
  },
  adapterHubLora: { options: { rank: 2, alpha: 4 }, parameters: (model) => hub(model, () => 0) },
  adapterHubMtlLora: {
    options: { rank: 2, alpha: 4, ups: 3, sharpness: 0.5 },
    parameters: (model) =>
      sumOver(model, /q_proj|v_proj|query|value|\.q$|\.v$/, (inDim, outDim) => 2 * inDim + 3 * 2 * outDim + 2 + 3),
    refuses: ({ config }) => (config.modelType === 'gpt2' ? /holds several projections/ : null),
  },
  // Its gates are a mean over whole sequences.
  adapterHubGatedLora: { options: { rank: 2 }, parameters: (model) => hub(model, (inDim) => inDim + 1), causal: false },
});

describe('with a bias beside B', () => {
  describeMethod(family.lora, {
    options: { rank: 2, alpha: 4, loraBias: true },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim) + outDim),
  });
});

describe('with every bias of the base', () => {
  describeMethod(family.lora, {
    options: { rank: 2, alpha: 4, bias: 'all' },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 2 * (inDim + outDim)) + biases(model),
  });
});

describe('of two factors twice', () => {
  describeMethod(family.lokr, {
    options: { rank: 1, alpha: 2, factor: 4, decomposeBoth: true, target: 'all-linear' },
    parameters: (model) =>
      sumOver(model, /^(?!lm_head|classifier)/, (inDim, outDim) => {
        const [l, m] = [outDim, inDim].map((n) => (n % 4 === 0 ? 4 : divisor(n))) as [number, number];
        const [k, n] = [outDim / l, inDim / m];
        return (Math.max(l, m) > 2 ? l + m : l * m) + (Math.max(k, n) > 2 ? k + n : k * n);
      }),
  });
});

describe('that depends on the weights', () => {
  describeMethod(family.miss, {
    options: { rank: 2, variant: 'bat' },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 2 * outDim),
  });
});

describe('of few rows in turns', () => {
  describeMethod(family.miss, {
    options: { rank: 4, variant: 'mini', miniRank: 2 },
    parameters: (model) => sumOver(model, attention, () => 8),
  });
});

describe('of an angle for each entry', () => {
  describeMethod(family.road, {
    options: { variant: 'road_4', groupSize: 4 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 4 * outDim),
  });
});

describe('of one rotation for all blocks', () => {
  describeMethod(family.oft, {
    options: { blocks: 2, shared: true, terms: 3 },
    parameters: (model) => sumOver(model, attention, (inDim) => ((inDim / 2) * (inDim / 2 - 1)) / 2),
  });
});

describe('of more blocks, and LoRA beside them', () => {
  describeMethod(family.gralora, {
    options: { rank: 4, blocks: 4, hybridRank: 1 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 5 * (inDim + outDim)),
  });
});

describe('of orthogonal vectors', () => {
  describeMethod(family.hra, {
    options: { rank: 2, orthogonal: true },
    parameters: (model) => sumOver(model, attention, (inDim) => 2 * inDim),
    identity: false,
  });
});

describe('of an orthogonal projection', () => {
  describeMethod(family.deft, {
    options: { rank: 3, decomposition: 'qr', alpha: 2 },
    parameters: (model) => sumOver(model, attention, (inDim, outDim) => 3 * (inDim + outDim)),
    identity: 'near',
  });
});

describe('that only takes out', () => {
  describeMethod(family.deft, {
    options: { rank: 2, decomposition: 'qr', para: true },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 2 * outDim),
    identity: false,
  });
});

describe('of vectors', () => {
  describeMethod(family.glora, {
    options: { weight: 'vector', coupling: 'none', shift: 'none' },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 2 * outDim),
  });
});

describe('of the inverse itself', () => {
  describeMethod(family.oft, {
    options: { blockSize: 4, exact: true },
    parameters: (model) => sumOver(model, attention, (inDim) => (inDim / 4) * 6),
    identity: 'near',
  });
});

describe('of rotations near to none', () => {
  describeMethod(family.oft, {
    options: { blockSize: 4, constrained: true, bound: 0.05 },
    parameters: (model) => sumOver(model, attention, (inDim) => (inDim / 4) * 6),
    // Values go through their projection with the gradient of none.
    detaches: 'part',
  });
});

describe('of the smallest weights, and LoRA beside them', () => {
  describeMethod(family.supertuning, {
    options: { sparsity: 0.9, largest: false, rank: 2, alpha: 3 },
    parameters: (model) =>
      sumOver(model, attention, (inDim, outDim) => Math.trunc(inDim * outDim * (1 - 0.9)) + 2 * (inDim + outDim)),
  });
});

describe('of projections that a file does not hold', () => {
  describeMethod(family.vera, {
    options: { rank: 6, saveProjections: false, seed: 5 },
    parameters: (model) => sumOver(model, attention, (_, outDim) => 6 + outDim),
    learningRate: 0.1,
  });
});

describe('of all updates folded to one tensor, made of a projection', () => {
  describeMethod(family.superLora, {
    options: { groups: 2, order: 3, rank: 2, share: 0.5 },
    parameters: (model) => {
      const half = Math.ceil(sumOver(model, attention, (inDim, outDim) => inDim * outDim) / 2 / 2);
      const first = Math.ceil(half ** (1 / 3) - 1e-9);
      const second = Math.ceil(Math.sqrt(Math.ceil(half / first)) - 1e-9);
      const third = Math.ceil(Math.ceil(half / first) / second);
      return 2 * (2 ** 3 + 2 * (first + second + third));
    },
  });
});

describe('of LoRAs of a decoder', () => {
  const base = tinyLlama();
  const method = family.lora({ rank: 2, alpha: 4 });
  const experts = [1, 2, 3].map((seed) => {
    const values = [...attach(base, [method]).params].map(([name, { shape }]) => {
      const data = Float32Array.from({ length: shape[0]! * shape[1]! }, (_, i) => Math.sin(seed + 1.3 * i) / 2);
      return [name, { shape, data }] as const;
    });
    return attach(base, [method], { state: new Map(values) });
  });
  describeMethod(
    family.xLoraFor({ a: experts[0]!, b: experts[1]!, c: experts[2]! }),
    {
      options: { depth: 2, size: 5, classifierDropout: 0.1, layerwise: true, topK: 2, softmaxTopK: true },
      parameters: ({ config: { layers, hiddenSize } }) => 5 * (hiddenSize + 1) + 3 * 2 * layers * (5 + 1),
      identity: false,
    },
    { families: ['llama'] },
  );
});
