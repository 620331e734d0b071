import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  flag,
  type MethodFactory,
  noWeight,
  ones,
  rate,
  type Target,
  targets,
} from '@peftjs/core';
import { add, matmul, mul, type Tensor } from '@peftjs/tensor';
import type { Linear, Model } from '@peftjs/transformer';
import { type Activation, activationIn, activationOption } from './activation.ts';
import { type InitName, initOption, inits } from './init.ts';

/** Options of `llmAdapter`. */
export interface LlmAdapterOptions {
  /**
   * Default: the layers of the MLP (Llama: `gate_proj`, `up_proj`, `down_proj`). The last one alone is what the authors call AdapterP; those
   * beside layers (`parallel`) they put at queries, keys and values.
   */
  readonly target?: Target;
  /** Whether the adapter stands beside its layer, y = Wx + a(x), not before or after it. Default false. */
  readonly parallel?: boolean;
  /** Width r of the middle. Default 256. */
  readonly bottleneck?: number;
  /** Default `tanh`. */
  readonly activation?: Exclude<Activation, 'prelu'>;
  /** Factor s of what is added: a constant, or one trained number that is 1 at the start (`learned`). Default 1. */
  readonly scale?: number | 'learned';
  /** Probability that an input of the adapter is dropped while training. Default 0. */
  readonly dropout?: number;
  /** First values: `normal`, N(0, 0.02²), or `mam`, W_down from U(−1/√d, 1/√d) and W_up 0. Default `normal`. */
  readonly init?: InitName;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** The last layers of MLPs, which have their adapters behind them. */
const lastOfMlps = (model: Model): ReadonlySet<string> => new Set(model.parts(['down']).map(({ path }) => path));

/** The layer with an adapter a(x) in front of it, W(x + a(x)) + b; behind it, y + a(y); or beside it, y + a(x). */
const placed = (base: Linear, where: 'before' | 'behind' | 'beside', a: (x: Tensor) => Tensor): Linear['apply'] => {
  if (where === 'before') return (x, call) => base.apply(add(x, a(x)), call);
  return (x, call) => {
    const y = base.apply(x, call);
    return add(y, a(where === 'behind' ? y : x));
  };
};

/**
 * LLM-Adapters: a bottleneck without biases at linear layers, a(x) = s·W_up f(W_down dropout(x)), W_down [r, d_in], W_up [d_out, r]. In series: before
 * the first layers of an MLP, W(x + a(x)), and after its last, y + a(y); with `parallel` beside any layer, y + a(x). Default: f = tanh, r = 256, all from N(0, 0.02²), so nearly
 * the base at the start. Files are those of the authors' fork of Hugging Face PEFT, type BOTTLENECK. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Hu et al., 2023. https://arxiv.org/abs/2304.01933. As their code has it, https://github.com/AGI-Edgerunners/LLM-Adapters.
 */
export const llmAdapter: MethodFactory<LlmAdapterOptions> = defineMethod<LlmAdapterOptions>({
  name: 'llmAdapter',
  formula: {
    merges: false,
    options: {
      parallel: flag('use_parallel_adapter', false),
      target: targets('target_modules', { roles: ['gate', 'up', 'down'] }),
      bottleneck: count('bottleneck_size', 256),
      activation: activationOption('tanh') as never,
      scale: {
        key: 'scaling',
        fallback: () => 1,
        expected: 'a finite number or learned',
        accepts: (v) => Number.isFinite(v) || v === 'learned',
      },
      dropout: rate('adapter_dropout', 0),
      init: initOption('normal'),
      bias: biases('adapter'),
    },
    attach: (model, scope, { target, parallel, bottleneck, activation, scale, dropout, init }) => {
      const last = lastOfMlps(model);
      return eachLinear(model, scope, target, 'llmAdapter', (base, own, path) => {
        const where = parallel ? 'beside' : last.has(path) ? 'behind' : 'before';
        const [inDim, outDim] = [
          where === 'behind' ? base.outDim : base.inDim,
          where === 'before' ? base.inDim : base.outDim,
        ];
        const down = own.param('adapter_down.weight', [bottleneck, inDim], inits[init].down);
        const up = own.param('adapter_up.weight', [outDim, bottleneck], inits[init].up);
        const factor = scale === 'learned' ? own.param('adapter_scaling', [1], ones) : scale;
        const inner = activationIn(own, activation);
        const adapter = (x: Tensor): Tensor => {
          const low = inner(matmul(own.dropout(x, dropout), down, { transposeB: true })); // [..., r]
          const added = matmul(low, up, { transposeB: true });
          return factor === 1 ? added : mul(added, factor);
        };
        return {
          ...base,
          apply: placed(base, where, adapter),
          dense: noWeight('llmAdapter', path, 'is not linear'),
        };
      });
    },
  },
  files: { peftType: 'BOTTLENECK' },
  card: {
    about: 'bottlenecks at linear layers',
    paper: {
      authors: 'Hu et al.',
      year: 2023,
      title: 'LLM-Adapters: An Adapter Family for Parameter-Efficient Fine-Tuning of Large Language Models',
      url: 'https://arxiv.org/abs/2304.01933',
    },
    learningRate: 3e-4,
    narrowRate: 1e-2,
  },
});
