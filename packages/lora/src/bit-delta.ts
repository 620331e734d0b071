import {
  defineMethod,
  eachLinear,
  flag,
  type Init,
  type MethodFactory,
  mergePatches,
  type Option,
  type Patch,
  type Scope,
  type Target,
  targets,
} from '@peftjs/core';
import {
  add,
  constant,
  dequantize,
  matmulQuantized,
  mul,
  type PackedAttrs,
  PeftError,
  packedShapes,
  reshape,
  type Shape,
  sameShape,
  sub,
  type Tensor,
} from '@peftjs/tensor';
import { type Embedding, type Linear, type Model, type Norm, type Path, viaDense } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';
import { onceComputed } from './once-computed.ts';

/** Options of `bitDelta`. */
export interface BitDeltaOptions {
  /** The same model after it was tuned whole. Files hold what it gave, so that they are read without it. */
  readonly tuned: Model;
  /** Layers whose change is kept as signs. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** Whether all else that the tuned model has (embeddings, head, norms, biases) is kept whole, in f32; false: it is the base's. Default true. */
  readonly rest?: boolean;
}

const tunedModel: Option<Model> = {
  key: null,
  // Files don't hold it; what it gave is in their tensors.
  fallback: () => ({ linears: new Map(), norms: new Map(), embeddings: new Map() }) as unknown as Model,
  expected: 'a model',
  accepts: (v) => typeof v === 'object' && v !== null && 'linears' in v && 'norms' in v && 'embeddings' in v,
};

/** A tensor of the tuned model. Throws `bad-option` where there is none of that shape. */
const ofTuned = (name: string, shape: Shape, found: Tensor | null | undefined): Tensor => {
  if (found && sameShape(found.shape, shape)) return found;
  throw new PeftError(
    'bad-option',
    `bitDelta: ${name} of [${shape}] ${found ? `is [${found.shape}]` : 'is not there'} in \`tuned\`; give the same model after it was tuned`,
  );
};

/** The signs of a change as bits, 1 where it is not negative, rows in whole bytes; and the mean of its magnitudes. */
const signsOf = (change: ArrayLike<number>, rows: number, inDim: number): { bits: Uint8Array; mean: number } => {
  const bytes = Math.ceil(inDim / 8);
  const bits = new Uint8Array(rows * bytes);
  let total = 0;
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < inDim; i++) {
      const value = change[row * inDim + i]!;
      total += Math.abs(value);
      if (!(value < 0)) bits[row * bytes + (i >> 3)]! |= 128 >> (i & 7);
    }
  return { bits, mean: total / (rows * inDim) };
};

/** First values of the signs and their scale, which one look at a layer's change gives. */
const firstOf = (tuned: Model, base: Linear, path: Path): { readonly [P in 'bits' | 'mean']: Init } => {
  const { inDim, outDim } = base;
  const once = onceComputed(async (compute) => {
    const after = ofTuned(`${path}.weight`, [outDim, inDim], tuned.linears.get(path)?.dense().weight);
    const change = await compute(sub(after, base.dense().weight));
    return signsOf(change as Float32Array, outDim, inDim);
  });
  return {
    bits: async (_shape, _random, compute) => (await once(compute)).bits,
    mean: async (_shape, _random, compute) => Float32Array.of((await once(compute)).mean),
  };
};

const bitLayer = (tuned: Model, base: Linear, own: Scope, path: Path): Linear => {
  const { inDim, outDim } = base;
  const attrs: PackedAttrs = { format: 'sign', inDim, block: Math.ceil(inDim / 8) * 8 };
  const first = firstOf(tuned, base, path);
  const signs = own.buffer('signs', packedShapes(attrs, outDim, []).codes, first.bits, 'u8');
  const scale = own.param('scale', [1], first.mean);
  const one = constant(new Float32Array(outDim).fill(1), [outDim, 1]);
  return addDelta(base, {
    apply: (x) => {
      const rows = reshape(x, [-1, inDim]);
      const y = matmulQuantized(rows, signs, one, null, null, null, null, null, attrs);
      return mul(reshape(y, [...x.shape.slice(0, -1), outDim]), scale);
    },
    dense: () => mul(dequantize(signs, one, null, null, null, null, null, attrs), scale),
  });
};

/** A bias of the tuned model in the place of the base's. */
const withBias = (base: Linear, bias: Tensor): Linear => {
  const before = base.dense().bias;
  const change = before ? sub(bias, before) : bias;
  return {
    ...base,
    apply: (x, call) => add(base.apply(x, call), change),
    dense: () => ({ weight: base.dense().weight, bias }),
  };
};

/** A tensor of the tuned model, kept whole. */
type Keep = (path: Path, name: string, like: Tensor, from: () => Tensor | null | undefined) => Tensor;

/** All that the tuned model has beside the layers whose change is kept as signs. */
const keepRest = (model: Model, scope: Scope, tuned: Model, bits: ReadonlySet<Path>): Patch => {
  const keep: Keep = (path, name, like, from) =>
    scope
      .at(path)
      .buffer(name, like.shape, (shape, _random, compute) => compute(ofTuned(`${path}.${name}`, shape, from())));
  // The heads of a task are trained beside every adapter.
  const others = (parts: ReadonlyMap<Path, unknown>): Path[] =>
    [...parts.keys()].filter((path) => !model.trainedHeads.includes(path));
  const tables = new Map(
    [...model.embeddings].map(([path, { weight }]) => [
      path,
      { before: weight, now: keep(path, 'weight', weight, () => tuned.embeddings.get(path)?.weight) },
    ]),
  );
  const layer = (path: Path, base: Linear): Linear => {
    const { weight, bias } = base.dense();
    const own = bias && keep(path, 'bias', bias, () => tuned.linears.get(path)?.dense().bias);
    if (bits.has(path)) return own ? withBias(base, own) : base;
    const tied = [...tables.values()].find(({ before }) => before.node === weight.node);
    const now = tied?.now ?? keep(path, 'weight', weight, () => tuned.linears.get(path)?.dense().weight);
    return viaDense(base, () => ({ weight: now, bias: own }));
  };
  const norm = (path: Path, base: Norm): Norm =>
    base.encode({
      weight: keep(path, 'weight', base.weight, () => tuned.norms.get(path)?.weight),
      bias: base.bias && keep(path, 'bias', base.bias, () => tuned.norms.get(path)?.bias),
    });
  return {
    embedding: new Map([...tables].map(([path, { now }]) => [path, (base: Embedding) => base.encode(now)])),
    linear: new Map(others(model.linears).map((path) => [path, (base: Linear) => layer(path, base)])),
    norm: new Map(others(model.norms).map((path) => [path, (base: Norm) => norm(path, base)])),
  };
};

/**
 * BitDelta: y = Wx + α·S·x + b, S = sign(W' − W) of a model W' that was tuned whole, one bit a weight (a 0 counts as +), and α of each layer, at first the mean of |W' − W|, the one thing that is trained:
 * `distillation({ teacher: (inputs) => tuned.outputs(inputs), measure: 'mse', weight: 1 })` brings the outputs to those of W', as the paper does, with AdamW at 1e-4 for 200 steps of 4 texts. Embeddings, head, norms and
 * biases are those of W' (`rest`). One base then serves many tuned models, each of a sixteenth of its size in f16. Merges. Throws `no-match` when attached, and `bad-option`, when first values are needed, for a `tuned` of other sizes.
 * Liu, Xiao, Li, Lee, Han, Dao & Cai, 2024. https://arxiv.org/abs/2402.10193; the authors' code: https://github.com/FasterDecoding/BitDelta
 */
export const bitDelta: MethodFactory<BitDeltaOptions> = defineMethod<BitDeltaOptions>({
  name: 'bitDelta',
  formula: {
    merges: true,
    options: {
      tuned: tunedModel,
      target: targets('target_modules', 'all-linear'),
      rest: flag('keeps_rest', true),
    },
    attach: (model, scope, { tuned, target, rest }) => {
      const bits = eachLinear(model, scope, target, 'bitDelta', (base, own, path) => bitLayer(tuned, base, own, path));
      return rest ? mergePatches([bits, keepRest(model, scope, tuned, new Set(bits.linear!.keys()))]) : bits;
    },
  },
  files: { peftType: 'PEFTJS_BIT_DELTA' },
  card: {
    about: 'the change of a whole fine-tuning, one bit a weight',
    paper: {
      authors: 'Liu et al.',
      year: 2024,
      title: 'BitDelta: Your Fine-Tune May Only Be Worth One Bit',
      url: 'https://arxiv.org/abs/2402.10193',
    },
    learningRate: 1e-4,
  },
});
