import {
  count,
  defineMethod,
  eachLinear,
  flag,
  kaimingUniform,
  type MethodFactory,
  noWeight,
  number,
  type Option,
  positive,
  rate,
  requireOneTower,
  type Scope,
  uniform,
} from '@peftjs/core';
import {
  add,
  constant,
  equal,
  greaterEqual,
  matmul,
  mul,
  PeftError,
  pad,
  relu,
  reshape,
  select,
  slice,
  softmax,
  stopGradient,
  sub,
  type Tensor,
  topK,
} from '@peftjs/tensor';
import { type Around, affine, cachedUnder, slot } from '@peftjs/transformer';
import { type ExpertLayer, expertLayers, type XLoraExperts } from './experts.ts';

/** Options of `xLora`. */
export interface XLoraOptions {
  /** Linear layers of the classifier. Default 1. */
  readonly depth?: number;
  /** Its inner width, of a depth of 2 or more. Default 2048. */
  readonly size?: number;
  /** Probability that an inner value of it is dropped while training. Default 0.2. */
  readonly classifierDropout?: number;
  /** Whether each layer has scalings of its own. Default false: all have the same. */
  readonly layerwise?: boolean;
  /** Whether a token's scalings are a softmax over the experts. Default true. */
  readonly softmax?: boolean;
  /** Of that softmax; lower is sharper. Default 1. */
  readonly temperature?: number;
  /** XLoraExperts that count for a token, those with the largest scalings; null (default) for all. */
  readonly topK?: number | null;
  /** Whether the scalings of those that count and are not 0 become a softmax. Default false. */
  readonly softmaxTopK?: boolean;
  /** The factor of all scalings. Default 1. */
  readonly weight?: number;
}

const topKOption: Option<number | null> = {
  key: 'top_k_lora',
  fallback: () => null,
  expected: 'null or a whole number of at least 1',
  accepts: (v) => v === null || (Number.isSafeInteger(v) && (v as number) >= 1),
};

/** The classifier of states [batch, tokens, d]: scalings [batch, tokens, outputs]. */
const classifier = (
  scope: Scope,
  d: number,
  outputs: number,
  { depth, size, classifierDropout: dropout }: Required<Pick<XLoraOptions, 'depth' | 'size' | 'classifierDropout'>>,
): ((x: Tensor) => Tensor) => {
  const step = dropout > 0 ? 3 : 2; // a layer, its activation, and its dropout where there is one
  const layers = Array.from({ length: depth }, (_, i) => {
    const [inDim, outDim] = [i === 0 ? d : size, i === depth - 1 ? outputs : size];
    const own = scope.at(`internal_xlora_classifier.layers.${i * step}`);
    const weight = own.param('weight', [outDim, inDim], kaimingUniform);
    return { weight, bias: own.param('bias', [outDim], uniform(1 / Math.sqrt(inDim))) };
  });
  return (x) => layers.reduce((h, layer, i) => affine(i === 0 ? h : scope.dropout(relu(h), dropout), layer), x);
};

/** Scalings [..., experts] of those that count. */
const chosen = (scalings: Tensor, k: number | null, softens: boolean): Tensor => {
  const kept = k === null ? scalings : mul(scalings, greaterEqual(scalings, kth(scalings, k)));
  if (!softens) return kept;
  const open = sub(1, equal(kept, 0));
  const shares = softmax(select(open, kept, constant(Float32Array.of(-1e30), [])));
  return mul(shares, open);
};

/** The k-th largest of the last axis, [..., 1]. */
const kth = (x: Tensor, k: number): Tensor => slice(topK(x, { k })[0], { axis: -1, start: k - 1, end: k });

/** How many looks a pass has made beside that which counts. */
const looks = slot<number>('xLora looks');

/**
 * X-LoRA of some LoRAs: y = Wx + weight·Σₑ sₑ·scaleₑ·Bₑ·Aₑ·dropout(x), with the experts fixed and the scalings s [batch, tokens, experts] of each token by a trained classifier, linear layers with ReLU between, of the base's last states. Those come of a first look, which goes through the base alone
 * and has no gradient; the second is the model's. With a cache each look keeps keys and values of its own, so that generation continues both, where Hugging Face PEFT goes without a cache; files for ONNX Runtime hold one look's alone, so they are exported without a cache.
 * Files are PEFT's, without the experts, which are saved as LoRAs are: `load(base, dir, [lora])` of each, then `load(base, dir, [xLoraFor({ 'math/': math, 'code/': code })])`, in the order of `adapters`. PEFT 0.21.2 leaves the classifier's first layers out of a file, since their numbers are its names of experts; such a file is refused for what is missing.
 * XLoraExperts that PEFT trains too are refused. Does not merge. Throws `bad-option`, also when attached, for adapters that are no LoRA of linear layers alone and for models of several towers.
 * Buehler & Buehler, 2024. https://arxiv.org/abs/2402.07148, as huggingface/peft, tuners/xlora.
 */
export const xLoraFor = (experts: XLoraExperts): MethodFactory<XLoraOptions> => {
  const names = Object.keys(experts);
  if (names.length === 0) throw new PeftError('bad-option', 'xLora: there is no expert; give at least one LoRA');
  return defineMethod<XLoraOptions>({
    name: 'xLora',
    formula: {
      merges: false,
      options: {
        depth: count('xlora_depth', 1),
        size: count('xlora_size', 2048),
        classifierDropout: rate('xlora_dropout_p', 0.2),
        layerwise: flag('layerwise_scalings', false),
        softmax: flag('enable_softmax', true),
        temperature: positive('softmax_temperature', 1),
        topK: topKOption,
        softmaxTopK: flag('enable_softmax_topk', false),
        weight: number('global_scaling_weight', 1),
      },
      check: ({ topK: k }) =>
        k != null && k > names.length ? `topK ${k} is more than the ${names.length} experts` : null,
      attach: (model, scope, options) => {
        requireOneTower(model, 'xLora');
        const { layerwise, temperature, topK: k, softmaxTopK, weight } = options;
        const layers = expertLayers(model, experts);
        const paths = [...layers.keys()];
        const n = names.length;
        const score = classifier(scope, model.main.hiddenSize, layerwise ? n * paths.length : n, options);
        const scalings = slot<Tensor>('xLora scalings');
        const look: Around<'model'> = (inputs, next, { pass }) => {
          const before = pass.get(cachedUnder) ?? '';
          const number = (pass.get(looks) ?? 0) + 1;
          pass.put(looks, number);
          pass.put(cachedUnder, `${before}look${number}.`);
          const seen = stopGradient(next(inputs).main);
          pass.put(cachedUnder, before);
          const [batch, tokens] = seen.shape as readonly [number, number, number];
          const logits = reshape(score(seen), [batch, tokens, layerwise ? paths.length : 1, n]);
          const all = options.softmax ? softmax(mul(logits, 1 / temperature)) : logits;
          pass.put(scalings, chosen(all, k, softmaxTopK));
          return next(inputs);
        };
        /** A layer's scaling of one expert for each row of x: [batch, rows, 1]; rows that methods put in front have 0. */
        const scalingOf = (all: Tensor, layer: number, expert: number, rows: number): Tensor => {
          const at = layerwise ? layer : 0;
          const own = slice(slice(all, { axis: 2, start: at, end: at + 1 }), {
            axis: 3,
            start: expert,
            end: expert + 1,
          });
          const [batch, tokens] = own.shape as readonly [number, number, number, number];
          return pad(reshape(own, [batch, tokens, 1]), { axis: 1, before: rows - tokens, after: 0 });
        };
        const linear = eachLinear(model, scope, paths, 'xLora', (base, own, path) => ({
          ...base,
          apply: (x, call) => {
            const y = base.apply(x, call);
            const all = call.pass.get(scalings);
            if (!all) return y; // the first look
            const part = ({ expert, a, b, scale, dropout }: ExpertLayer): Tensor => {
              const low = matmul(own.dropout(x, dropout), a, { transposeB: true });
              const counted = mul(low, mul(scalingOf(all, paths.indexOf(path), expert, x.shape[1]!), scale * weight));
              return matmul(counted, b, { transposeB: true });
            };
            return layers.get(path)!.reduce((sum, layer) => add(sum, part(layer)), y);
          },
          dense: noWeight('xLora', path, 'depends on its input'),
        }));
        return { ...linear, around: { model: new Map([['', look]]) } };
      },
    },
    files: {
      peftType: 'XLORA',
      computes: { use_trainable_adapters: [false] },
      refuses: ({ adapters }) => {
        const wanted = Object.keys((adapters as object | null) ?? {}).length;
        return wanted === names.length
          ? null
          : `it weighs ${wanted} adapters, and xLoraFor was given ${names.length}; give as many, in the order of adapters`;
      },
      config: (model) => ({
        hidden_size: model.main.hiddenSize,
        adapters: Object.fromEntries(names.map((name, i) => [String(i), name])),
        use_trainable_adapters: false,
        scaling_pass_value: 0,
      }),
      keys: { 'internal_xlora_classifier.': 'base_model.internal_xlora_classifier.' },
    },
    card: {
      about: 'a classifier that weighs LoRAs for each token, by a look at what the base makes of it',
      paper: {
        authors: 'Buehler & Buehler',
        year: 2024,
        title:
          'X-LoRA: Mixture of Low-Rank Adapter XLoraExperts, a Flexible Framework for Large Language Models with Applications in Protein Mechanics and Molecular Design',
        url: 'https://arxiv.org/abs/2402.07148',
      },
      learningRate: 1e-3,
    },
  });
};
