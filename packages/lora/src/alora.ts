import {
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  noWeight,
  type Option,
  requireOneTower,
  targets,
} from '@peftjs/core';
import {
  add,
  constant,
  equal,
  greaterEqual,
  max,
  mul,
  PeftError,
  pad,
  reshape,
  slice,
  sub,
  type Tensor,
} from '@peftjs/tensor';
import { type Call, slot } from '@peftjs/transformer';
import { type LoraOptions, loraOptions, lowRank } from './low-rank.ts';
import { variantConfig, variantFiles } from './variant-files.ts';

/** Options of `alora`. */
export interface AloraOptions extends LoraOptions {
  /** Ids of the tokens that turn the adapter on: it acts on them and on all that follows. */
  readonly invocation: readonly number[];
}

const invocationTokens: Option<readonly number[]> = {
  key: 'alora_invocation_tokens',
  fallback: () => {
    throw new PeftError('bad-option', 'alora: invocation is missing; give the ids of the tokens that turn it on');
  },
  expected: 'a list of at least one id',
  accepts: (v) => Array.isArray(v) && v.length > 0 && v.every((id) => Number.isSafeInteger(id) && id >= 0),
};

/** f32 [batch, tokens], 1 where the adapter acts. */
const acting = slot<Tensor>('alora.acting');

const number = (values: readonly number[]): Tensor => constant(Float32Array.from(values), [1, values.length]);

/** The last place where the invocation begins, [batch, 1]; −1 where it is nowhere. */
const lastBegin = (ids: Tensor, invocation: readonly number[]): Tensor => {
  const [, tokens] = ids.shape as readonly [number, number];
  const starts = tokens - invocation.length + 1;
  const fits = invocation
    .map((id, i) => equal(slice(ids, { axis: 1, start: i, end: i + starts }), constant(Int32Array.of(id), [])))
    .reduce((all, one) => mul(all, one)); // [batch, starts]
  const places = number(Array.from({ length: starts }, (_, i) => i + 1));
  return sub(max(mul(fits, places), { axes: [1], keepDims: true }), 1);
};

/** Where it acts among the tokens of a pass: in one that continues a cache everywhere, if the prompt held the invocation. */
const actingIn = ({ pass, tower }: Call, invocation: readonly number[]): Tensor => {
  const ids = pass.inputs[tower.reads.ids]!;
  const [batch, tokens] = ids.shape as readonly [number, number];
  const name = `alora.${invocation.join('.')}`;
  const ones = number(Array<number>(tokens).fill(1));
  const earlier = pass.recall(name, [batch, 1]);
  if (earlier) return mul(earlier, ones);
  const begin =
    tokens < invocation.length ? constant(new Float32Array(batch).fill(-1), [batch, 1]) : lastBegin(ids, invocation);
  const found = greaterEqual(begin, 0);
  pass.keep(name, found);
  return mul(greaterEqual(number(Array.from({ length: tokens }, (_, i) => i)), begin), found);
};

/** The same for the rows of an input: [batch, rows, 1]. Rows in front of the tokens are none of them; a head may read the last alone. */
const atRows = (call: Call, rows: number, invocation: readonly number[]): Tensor => {
  const { pass } = call;
  if (!pass.get(acting)) pass.put(acting, actingIn(call, invocation));
  const all = pass.get(acting)!;
  const [batch, tokens] = all.shape as readonly [number, number];
  const own =
    rows > tokens
      ? pad(all, { axis: 1, before: rows - tokens, after: 0 })
      : slice(all, { axis: 1, start: tokens - rows, end: tokens });
  return reshape(own, [batch, rows, 1]);
};

/**
 * aLoRA: y = Wx + m·(alpha/r)·B·A·dropout(x), m = 1 for the tokens from the last `invocation` in the text on, else 0, and 0 everywhere in a text without one. Keys and
 * values of all that comes before are the base's, so that a cache of it serves base and adapter alike. When generating, the prompt decides: what follows an invocation in it is
 * adapted, whatever is generated. A and B are LoRA's. Does not merge, as it depends on the text. Throws as `lora`, and `bad-option` for models of several towers or of pictures.
 * Greenewald et al., 2025. https://arxiv.org/abs/2504.12397. Of several invocations the last counts, as in Hugging Face PEFT.
 */
export const alora: MethodFactory<AloraOptions> = defineMethod<AloraOptions>({
  name: 'alora',
  formula: {
    merges: false,
    options: {
      ...loraOptions,
      target: targets('target_modules', familyTarget('lora')),
      invocation: invocationTokens,
    },
    attach: (model, scope, options) => {
      requireOneTower(model, 'alora');
      if (model.main.reads.picture)
        throw new PeftError('bad-option', 'alora: begins at tokens of a text, and this model reads pictures; use lora');
      return eachLinear(model, scope, options.target, 'alora', (base, own, path) => {
        const delta = lowRank(base, own, path, options);
        return {
          ...base,
          apply: (x, call) => {
            if (x.shape.length !== 3)
              throw new PeftError(
                'bad-option',
                `alora: ${path} is asked for rows that are no tokens of a text, by a method around it that does not go with alora`,
              );
            const at = atRows(call, x.shape[1]!, options.invocation);
            return add(base.apply(x, call), mul(delta.apply(x, call), at));
          },
          dense: noWeight('alora', path, 'depends on the text'),
        };
      });
    },
  },
  files: { ...variantFiles('alora', 'alora_invocation_tokens'), config: variantConfig },
  card: {
    about: 'low-rank updates that act from some tokens on',
    paper: {
      authors: 'Greenewald et al.',
      year: 2025,
      title: 'Activated LoRA: Fine-tuned LLMs for Intrinsics',
      url: 'https://arxiv.org/abs/2504.12397',
    },
    learningRate: 2e-4,
  },
});
