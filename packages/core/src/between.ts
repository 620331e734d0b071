import {
  checkOptions,
  compile,
  type Executor,
  evaluate,
  mustBe,
  PeftError,
  sizeOf,
  type Variable,
} from '@peftjs/tensor';
import { hostArray } from '@peftjs/tensor/executor';
import type { Between } from './method.ts';

/** The part of a run that a decision between steps may use. */
export interface BetweenOptions {
  readonly executor: Executor;
  /** The trained tensors. */
  readonly params: Iterable<Variable>;
  /** The optimiser's state, by parameter. */
  readonly state: ReadonlyMap<Variable, readonly Variable[]>;
  /** Notes that the schedule warms up anew over so many steps. */
  rewarm(steps: number): void;
}

/** Zeros but for the share of values with the largest magnitudes: those above the quantile 1 − keep, as `torch.quantile` has it. */
const largest = (values: Float32Array, keep: number): Float32Array => {
  const sizes = values.map(Math.abs).sort();
  const at = (1 - keep) * (sizes.length - 1);
  const [low, high] = [sizes[Math.floor(at)]!, sizes[Math.ceil(at)]!];
  const threshold = low + (at - Math.floor(at)) * (high - low);
  return values.map((x) => (Math.abs(x) > threshold ? x : 0));
};

/** The hand that a decision is given between two steps of a run. */
export const makeBetween = ({ executor, params, state, rewarm }: BetweenOptions): Between => {
  const trained = new Set(params);
  return {
    read: (v) => executor.read(v),
    write: (v, data) => executor.write(v, data),
    compute: (outputs) => evaluate(outputs, { executor }),
    compile: (spec) => compile(spec, { executor }),
    resetOptimizer: async (chosen, keep = 0) => {
      checkOptions('resetOptimizer', { keep: mustBe.rate }, { keep });
      const all = [...chosen];
      const others = all.filter((p) => !trained.has(p));
      if (others.length > 0)
        throw new PeftError('bad-option', `resetOptimizer: not trained: ${others.map((p) => p.node.name).join(', ')}`);
      const kept = all.flatMap((p) => state.get(p) ?? []);
      const packed = kept.filter((v) => v.dtype !== 'f32');
      if (keep > 0 && packed.length > 0)
        throw new PeftError(
          'bad-option',
          `resetOptimizer: keep is for states in f32, ${packed[0]!.node.name} holds ${packed[0]!.dtype} codes; use 0`,
        );
      for (const v of kept)
        await executor.write(
          v,
          keep > 0 ? largest((await executor.read(v)) as Float32Array, keep) : hostArray(v.dtype, sizeOf(v.shape)),
        );
    },
    rewarm: (steps) => {
      checkOptions('rewarm', { steps: mustBe.given(mustBe.count) }, { steps });
      rewarm(steps);
    },
  };
};
