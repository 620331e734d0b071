import { count, defineMethod, type Init, type MethodFactory, normal, type Option } from '@peftjs/core';
import { constant, PeftError, reshape, type Shape } from '@peftjs/tensor';
import { promptDecoder } from './prompt-space.ts';
import { rowsInFront } from './soft-prompt.ts';
import { isPromptSnapshot, type PromptSnapshot } from './trained-prompt.ts';

/** Options of `ipt`. */
export interface IptOptions {
  /** The space of prompts: `await snapshot(adapted, { executor })` of `iptSpace` of @peftjs/multitask, with the same length, dimension and inner; `random` (default), one drawn at random. */
  readonly space?: PromptSnapshot | 'random';
  /** Virtual tokens m. Default 20; the paper has 100. */
  readonly length?: number;
  /** Numbers r that are trained. Default 10; the paper has 5 to 250. */
  readonly dimension?: number;
  /** Width h of the decoder's inner layer. Default 768. */
  readonly inner?: number;
}

const spaceOption: Option<PromptSnapshot | 'random'> = {
  key: null, // a file holds the decoder
  fallback: () => 'random',
  expected: "'random' or a snapshot of iptSpace",
  accepts: (v) => v === 'random' || isPromptSnapshot(v),
};

/** A tensor of a space that was found before. Throws `bad-option` where it has not this one. */
const foundIn = ({ state }: PromptSnapshot, name: string, shape: Shape): Init => {
  const found = state.get(name);
  if (found?.shape.join() !== shape.join())
    throw new PeftError(
      'bad-option',
      `ipt: space: ${name} of [${shape.join(', ')}] is needed, got ${found ? `[${found.shape.join(', ')}]` : 'none'}; give a snapshot of iptSpace of this model, and its length, dimension and inner`,
    );
  return constant(Float32Array.from(found.data), shape);
};

/**
 * IPT, intrinsic prompt tuning: [D(c); E(x)], where only a code c [1, r] is trained, from N(0, 0.02²), and D(c) = W₃·tanh(W₂c + b₂) + b₃ makes the m rows of it, W₂ [h, r], W₃ [m·d, h]. The decoder D is that of `space`, which the prompts of other tasks have in common, and frozen;
 * a random one is from U(−1/√in, 1/√in), the paper's baseline. Files have a layout of our own, which holds the decoder. Does not merge. Throws `bad-option`, also when attached, for a space of other sizes.
 * Qin et al., 2021. https://arxiv.org/abs/2110.07867 By the authors' code, https://github.com/thunlp/Intrinsic-Prompt-Tuning, bartPrompt.py, AE_type 1 of example_scripts/IST_prompt.sh.
 */
export const ipt: MethodFactory<IptOptions> = defineMethod<IptOptions>({
  name: 'ipt',
  formula: {
    merges: false,
    options: {
      space: spaceOption,
      length: count('num_virtual_tokens', 20),
      dimension: count('intrinsic_dim', 10),
      inner: count('inner_dim', 768),
    },
    attach: (model, scope, { space, length, dimension, inner }) =>
      rowsInFront(model, { length }, ({ dim }) => {
        const code = scope.param('prompt_task.weight', [1, dimension], normal(0.02), { decay: false });
        const decode = promptDecoder(
          (name, shape, init) => scope.buffer(name, shape, space === 'random' ? init : foundIn(space, name, shape)),
          { size: length * dim, dimension, inner },
        );
        return reshape(decode(code), [length, dim]);
      }),
  },
  files: { peftType: 'PEFTJS_IPT' },
  card: {
    about: 'a few numbers, of which a decoder makes rows in front of the embeddings',
    paper: {
      authors: 'Qin et al.',
      year: 2021,
      title: 'Exploring Universal Intrinsic Task Subspace via Prompt Tuning',
      url: 'https://arxiv.org/abs/2110.07867',
    },
    learningRate: 1e-3,
    narrowRate: 1,
  },
});
