import { count, defineMethod, eachSite, type MethodFactory, normal } from '@peftjs/core';
import { add, relu } from '@peftjs/tensor';
import { linear, norm } from './bottleneck.ts';

/** Options of `residualAdapter`. */
export interface ResidualAdapterOptions {
  /** Width r of the middle: the authors take 300 for translation and questions, 100 for summaries and dialogue, 10 for texts from data. Default 100. */
  readonly bottleneck?: number;
}

/**
 * Residual adapter of the versatile language model: at the end of every layer x ← x + W_up ReLU(W_down LN(x) + b_down) + b_up, LN a layer
 * norm of its own, W_down [r, d] and W_up [d, r] from N(0, 0.02²), biases 0, so nearly the identity. The base is frozen. The authors' model
 * holds one for each task and is told the task; here each is an adapter of its own over one base, which `mixBatch` mixes in a batch. Their
 * trained segment for a task is left to the input. Does not merge. Lin, Madotto & Fung, 2020. https://arxiv.org/abs/2004.03829
 */
export const residualAdapter: MethodFactory<ResidualAdapterOptions> = defineMethod<ResidualAdapterOptions>({
  name: 'residualAdapter',
  formula: {
    merges: false,
    options: { bottleneck: count('bottleneck', 100) },
    attach: (model, scope, { bottleneck }) => {
      const init = normal(0.02);
      return eachSite(model, scope, 'block', (layer, path) => {
        const d = model.widthAt(path);
        const own = layer.at('adapter_block');
        const before = norm(own, 'ln', d);
        const down = linear(own, 'project_down', bottleneck, d, init);
        const up = linear(own, 'project_up', d, bottleneck, init);
        return (x, next) => {
          const y = next(x);
          return add(y, up(relu(down(before(y)))));
        };
      });
    },
  },
  files: { peftType: 'PEFTJS_RESIDUAL_ADAPTER' },
  card: {
    about: 'a normed bottleneck after each layer',
    paper: {
      authors: 'Lin, Madotto & Fung',
      year: 2020,
      title: 'Exploring Versatile Generative Language Model Via Parameter-Efficient Transfer Learning',
      url: 'https://arxiv.org/abs/2004.03829',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
