import {
  count,
  defineMethod,
  type MethodFactory,
  normal,
  type Option,
  oneOf,
  rate,
  requireOneTower,
  type Scope,
  uniform,
} from '@peftjs/core';
import { broadcastTo, concat, constant, PeftError, relu, reshape, slice, type Tensor } from '@peftjs/tensor';
import { type Around, affine, type Call, type Model, slot, tokenTableOf } from '@peftjs/transformer';
import { adaptivePool } from './adaptive-pool.ts';
import { rowsName } from './encoder.ts';
import { lastToken, tokenRows } from './over-tokens.ts';
import { rowsInFront } from './soft-prompt.ts';

type Generator = 'naive' | 'average' | 'max' | 'none';

/** Options of `lpt`. */
export interface LptOptions {
  /** Virtual tokens m. Default 5. */
  readonly length?: number;
  /** How many layers run before the rows are there. Default half of them. */
  readonly layer?: number;
  /**
   * The rows are made of the text as it is after those layers: `naive` (default), all of one token, the first of an encoder and the last of a decoder; `average` or `max`, each of a part of the tokens;
   * `none`, the rows are trained as they are, the same for all texts.
   */
  readonly generator?: Generator;
  /** Width h of the generator. Default 128. */
  readonly bottleneck?: number;
  /** Probability that a value of the rows is dropped while training. Default 0; the authors' generator has that of the model, 0.1. */
  readonly dropout?: number;
}

const layerOption: Option<number> = {
  ...count('prompt_layer', 1),
  fallback: (model) => Math.floor(model.main.paths('block').length / 2),
};

/** [batch, 1, d]: the token that stands for a text. */
const oneToken = (x: Tensor, call: Call): Tensor =>
  call.tower.attends === 'all' ? slice(x, { axis: 1, start: 0, end: 1 }) : lastToken(x, call);

/** The rows [batch, m, d] of a text's tokens [batch, tokens, d], with the tensors that make them. */
const generatorOf = (
  scope: Scope,
  d: number,
  { length, generator, bottleneck, dropout }: Required<Omit<LptOptions, 'layer'>>,
): ((x: Tensor, call: Call) => Tensor) => {
  if (generator === 'none') {
    const rows = scope.param(rowsName, [length, d], normal(1));
    return (x) => scope.dropout(broadcastTo(rows, [x.shape[0]!, length, d]), dropout);
  }
  const layer = (name: string, inDim: number, outDim: number): ((x: Tensor) => Tensor) => {
    const [own, init] = [scope.at(`prompt_generator.${name}`), uniform(1 / Math.sqrt(inDim))];
    const parts = { weight: own.param('weight', [outDim, inDim], init), bias: own.param('bias', [outDim], init) };
    return (x) => affine(x, parts);
  };
  const down = layer('proj_down', d, bottleneck);
  const up = layer('proj_up', bottleneck, generator === 'naive' ? length * d : d);
  return (x, call) => {
    const inner = generator === 'naive' ? down(oneToken(x, call)) : adaptivePool(down(x), call, length, generator);
    return scope.dropout(reshape(up(relu(inner)), [x.shape[0]!, length, d]), dropout);
  };
};

/** Middleware that hides the rows of late prompts from attention. */
const hides = new WeakSet<Around<'kv'>>();

/** The attentions of the layers that run before the rows are there, and the block that reads them first. Throws `bad-option`, `no-match`. */
const placesOf = (model: Model, layer: number) => {
  requireOneTower(model, 'lpt');
  const blocks = model.main.paths('block');
  const inSight = model.paths('block');
  if (model.main.order?.some((block, i) => block !== i))
    throw new PeftError('bad-option', 'lpt: this model runs a block more than once, so no block has one place');
  if (layer >= blocks.length)
    throw new PeftError(
      'bad-option',
      `lpt: layer ${layer} must be below the number of layers, ${blocks.length}; choose one of 1 to ${blocks.length - 1}`,
    );
  if (inSight.length < blocks.length)
    throw new PeftError('no-match', 'lpt: this part of the model has not all blocks; give it the whole model');
  const early = blocks.slice(0, layer);
  const attentions = model.paths('kv').filter((path) => early.some((block) => path.startsWith(`${block}.`)));
  const foreign = attentions.some((path) => model.around.kv?.get(path)?.some((around) => !hides.has(around)));
  if (foreign) throw new PeftError('bad-option', 'lpt: another method changes keys and values; attach it after lpt');
  return { attentions, block: blocks[layer]! };
};

/** How many rows all late prompts of a pass have in front of its tokens. */
const lateRows = slot<number>('lpt');

/** The first of some rows in front, of which `behind` come after them. Throws `bad-option` where other methods have some too. */
const startOf = (front: number, { pass }: Call, length: number, behind: number): number => {
  const all = pass.get(lateRows)!;
  if (front === all) return all - behind - length;
  throw new PeftError(
    'bad-option',
    `lpt: ${front - all} rows of another method stand in front of the tokens; use one of both`,
  );
};

/**
 * LPT, late prompt tuning: the first k layers read the text alone; then m rows come in front, [P(h); h] with h [tokens, d] the text as it is after them, and the other layers read both. P is made of each text by a
 * bottleneck, W₂·relu(W₁·z + b₁) + b₂: `naive`, of one token's z = h_t, W₁ [h, d], W₂ [m·d, h]; `average` and `max`, row by row, W₂ [d, h], with W₁·z + b₁ pooled over m parts of the text. Values are from U(−1/√in, 1/√in), rows of `none` from N(0, 1).
 * No gradient goes through the first k layers. Tokens have the positions that they have without a prompt, and rotary layers find its rows at those before 0. Generation keeps the prompt of the text that it continues.
 * Files have a layout of our own. Does not merge. Throws `bad-option` and `no-match` when attached: for models of several towers, or whose layers share blocks; with rows or keys of other methods in front.
 * Liu, Sun, Huang & Qiu, 2022. https://arxiv.org/abs/2210.11292 By the authors' code, https://github.com/xyltt/LPT, decoder-only/models/modeling_gpt2.py and encoder-only/models/modeling_roberta.py.
 */
export const lpt: MethodFactory<LptOptions> = defineMethod<LptOptions>({
  name: 'lpt',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 5),
      layer: layerOption,
      generator: oneOf('generator_type', ['naive', 'average', 'max', 'none'], 'naive'),
      bottleneck: count('bottleneck_dim', 128),
      dropout: rate('generator_dropout', 0),
    },
    attach: (model, scope, { layer, ...sizes }) => {
      const { length } = sizes;
      const { attentions, block } = placesOf(model, layer);
      const rowsOf = generatorOf(scope, model.main.hiddenSize, sizes);
      // Until then zeros keep the place of the rows; the first layers' attention does not see them.
      const { dim } = tokenTableOf(model, model.main, 'lpt');
      const held = rowsInFront(model, { length }, () => constant(new Float32Array(length * dim), [length, dim]));
      const [[site, inFront]] = [...held.around!.embed!] as [[string, Around<'embed'>]];
      /** Rows of late prompts that were attached before, which come after these. */
      const behind = slot<number>('lpt behind');
      const embed: Around<'embed'> = (ids, next, call) => {
        const { pass } = call;
        const known = pass.get(lateRows) ?? 0;
        return inFront(
          ids,
          (own) => {
            const x = next(own);
            pass.put(behind, pass.get(lateRows) ?? known);
            pass.put(lateRows, pass.get(behind)! + length);
            return x;
          },
          call,
        );
      };
      const start = (front: number, call: Call): number => startOf(front, call, length, call.pass.get(behind)!);
      const unseen: Around<'kv'> = (own, next, call) => {
        const { k, v } = next(own);
        const from = start(call.pass.get(lateRows)!, call);
        const without = (t: Tensor): Tensor => {
          const rest = slice(t, { axis: 2, start: from + length, end: t.shape[2]! });
          return from === 0 ? rest : concat(slice(t, { axis: 2, start: 0, end: from }), rest, { axis: 2 });
        };
        return { k: without(k), v: without(v) };
      };
      hides.add(unseen);
      const late: Around<'block'> = (x, next, call) => {
        if (call.sequence.continues) return next(x); // they are in the cache
        const from = start(x.shape[1]! - call.sequence.tokens, call);
        const part = (first: number, end: number): Tensor => slice(x, { axis: 1, start: first, end });
        const rest = concat(rowsOf(tokenRows(x, call), call), part(from + length, x.shape[1]!), { axis: 1 });
        return next(from === 0 ? rest : concat(part(0, from), rest, { axis: 1 }));
      };
      return {
        around: {
          embed: new Map([[site, embed]]),
          kv: new Map(attentions.map((path) => [path, unseen])),
          block: new Map([[block, late]]),
        },
        positionShift: -length,
      };
    },
  },
  files: { peftType: 'PEFTJS_LPT' },
  card: {
    about: 'a generator that makes rows in front of the text, of each text, halfway through the layers',
    paper: {
      authors: 'Liu et al.',
      year: 2022,
      title: 'Late Prompt Tuning: A Late Prompt Could Be Better Than Many Prompts',
      url: 'https://arxiv.org/abs/2210.11292',
    },
    learningRate: 1e-3,
  },
});
