import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type HostInit,
  type MethodFactory,
  positive,
  rate,
  type Target,
  targeted,
  targets,
  uniform,
  wholeNumber,
} from '@peftjs/core';
import { cast, gather, matmul, mul, reshape, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { chooseAsNumpy, numpyRandom, shuffleAsNumpy } from './numpy-random.ts';
import { fanInFanOut } from './peft-config.ts';

/** Options of `unilora`. */
export interface UniloraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of an update. Default 4. */
  readonly rank?: number;
  /** Trained values d of the whole adapter. Default 256. */
  readonly length?: number;
  /** Of numpy's generator, which draws the places of the values as Hugging Face PEFT does: they are not saved. Default 42. */
  readonly seed?: number;
  /** The values are from U(−bound, bound) at first. Default 0.02. */
  readonly bound?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** Places are held as floats, which are exact up to here. */
const mostLength = 2 ** 24;

/** For each of `size` entries the place of its value, below `length`: each place equally often, up to one, in an order drawn as numpy draws it. */
const drawnPlaces = (size: number, length: number, seed: number): Int32Array => {
  const random = numpyRandom(seed);
  const each = Math.floor(size / length);
  const places = Int32Array.from({ length: size }, (_, i) => (each === 0 ? 0 : Math.floor(i / each)));
  if (size % length > 0) places.set(chooseAsNumpy(length, size % length, random), each * length);
  shuffleAsNumpy(places, random);
  return places;
};

/** 1/√n of each place that n entries have; 0 where none has it. */
const inverseRoots = (places: Int32Array, length: number): Float32Array => {
  const counts = new Float32Array(length);
  for (const place of places) counts[place]!++;
  return counts.map((n) => (n === 0 ? 0 : 1 / Math.sqrt(n)));
};

/**
 * Uni-LoRA: y = Wx + B·A·dropout(x), where every entry of A [rank, in] and B [out, rank] of all layers is one of d trained values θ, divided by √n where n entries have
 * the same: together they are an isometric projection of θ. Trained is θ [length] alone, from U(−bound, bound), so that the model begins almost as it was. The places come
 * from numpy's generator, over all layers in their order, and are not saved; a file that holds them (`save_indices`) is refused. Nothing of shape [out, in] is formed. Merges. Throws `bad-option`,
 * and when attached `no-match`.
 * Li et al., 2025. https://arxiv.org/abs/2506.00799
 */
export const unilora: MethodFactory<UniloraOptions> = defineMethod<UniloraOptions>({
  name: 'unilora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 4),
      length: count('theta_d_length', 256),
      seed: wholeNumber('proj_seed', 42),
      bound: positive('init_theta_d_bound', 0.02),
      dropout: rate('unilora_dropout', 0),
      bias: biases('unilora'),
    },
    check: ({ length = 0 }) => (length > mostLength ? `length must be at most ${mostLength}, got ${length}` : null),
    attach: (model, scope, { target, rank, length, seed, bound, dropout }) => {
      const starts = new Map<string, number>();
      let size = 0;
      for (const path of targeted(model.linears.keys(), target, 'unilora')) {
        const { inDim, outDim } = model.linears.get(path)!;
        starts.set(path, size);
        size += rank * (inDim + outDim);
      }
      let drawn: Int32Array | undefined;
      const places = (): Int32Array => (drawn ??= drawnPlaces(size, length, seed));
      const values = scope.param('unilora_theta_d', [length], uniform(bound));
      const roots = scope.running('unilora_scales', [length], () => inverseRoots(places(), length));
      const table = reshape(mul(values, roots), [length, 1]);
      return eachLinear(model, scope, target, 'unilora', (base, own, path) => {
        const { inDim, outDim } = base;
        const start = starts.get(path)!;
        const from =
          (at: number): HostInit =>
          ([rows, columns]) =>
            Float32Array.from(places().subarray(at, at + rows! * columns!));
        const spread = (index: Tensor): Tensor =>
          reshape(gather(table, cast(index, { dtype: 'i32' })), index.shape as readonly number[]);
        const indexA = own.running('unilora_indices_A', [rank, inDim], from(start));
        const indexB = own.running('unilora_indices_B', [outDim, rank], from(start + rank * inDim));
        return addDelta(base, {
          apply: (x) => {
            const low = matmul(own.dropout(x, dropout), spread(indexA), { transposeB: true }); // [..., rank]
            return matmul(low, spread(indexB), { transposeB: true });
          },
          dense: () => matmul(spread(indexB), spread(indexA)),
        });
      });
    },
  },
  files: {
    peftType: 'UNILORA',
    refuses: ({ save_indices: saved }) =>
      saved === true
        ? 'save_indices is true, so the file holds the places that are drawn here from proj_seed; save it with save_indices=False'
        : null,
    config: (model) => ({ ...fanInFanOut(model), init_weights: true, save_indices: false }),
    keys: { unilora_theta_d: 'base_model.unilora_theta_d' },
  },
  card: {
    about: 'one vector whose values are spread over all factors',
    paper: {
      authors: 'Li et al.',
      year: 2025,
      title: 'Uni-LoRA: One Vector is All You Need',
      url: 'https://arxiv.org/abs/2506.00799',
    },
    learningRate: 5e-3,
    narrowRate: 1e-2,
  },
});
