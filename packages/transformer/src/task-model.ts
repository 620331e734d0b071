import { add, constant, gather, PeftError, reshape, slice, type Tensor } from '@peftjs/tensor';
import { cappedHead } from './capped-head.ts';
import type { ModelConfig } from './config/model-config.ts';
import type { HeadSpec } from './families/family.ts';
import type { Linear } from './linear.ts';
import { addTerm, type Loss } from './loss.ts';
import type { Model, PassOptions } from './model.ts';
import type { Inputs, States } from './states.ts';
import type { Head, LabelLosses, LabelLossOptions, Task } from './tasks/task.ts';

/** One pass of a model with its task: outputs and loss of the same draw. */
export interface TaskRun<Out> {
  readonly states: States;
  /** The task's head and the rows that it reads. */
  readonly head: Head;
  /** Logits. */
  outputs(): Out;
  /** Throws where a column of the task is missing. */
  loss(): Loss;
  /**
   * The loss of each label by itself; `labels` i32 [batch, tokens] stand in place of the input's. Throws as `loss`, and `bad-option` where the task gives no token a
   * probability.
   */
  labelLosses(options?: LabelLossOptions & { readonly labels?: Tensor }): LabelLosses;
}

/** A model with its task: an immutable value, like the model. */
export interface TaskModel<Out = Tensor> extends Model {
  readonly config: ModelConfig;
  readonly task: Task<Out>;
  /** Inputs of its towers that it makes of others where they are missing. */
  readonly makes: readonly string[];
  /** One pass, whose outputs and loss may both be read. Throws as `states`. */
  run(inputs: Inputs, options?: PassOptions): TaskRun<Out>;
  /** The task's outputs: logits. Throws as `states`. */
  outputs(inputs: Inputs, options?: PassOptions): Out;
  /** The task's loss. Throws as `states`, and where a column of the task is missing. */
  loss(inputs: Inputs, options?: PassOptions): Loss;
}

/** How the logits of a language model are made. */
export interface LogitsOptions extends PassOptions {
  /** f32 [batch, keys]: the input `mask`. */
  readonly mask?: Tensor;
  /** Of the last token alone: [batch, 1, vocabSize]. Default false. */
  readonly lastOnly?: boolean;
  /** i32 [batch]: of this token of each sequence alone: [batch, 1, vocabSize]; which it is may be known only when it runs. */
  readonly at?: Tensor;
}

/**
 * A decoder with the task of predicting the next token. Shapes: ids i32 [batch, tokens]; d is the config's `hiddenSize`.
 */
export interface CausalLM extends TaskModel<Tensor> {
  /** [batch, tokens, d]: what the LM head reads. Throws `bad-shape`, `bad-option`. */
  hidden(ids: Tensor, options?: LogitsOptions): Tensor;
  /** [batch, tokens, vocabSize], or [batch, 1, vocabSize] of the last token alone. */
  logits(ids: Tensor, options?: LogitsOptions): Tensor;
}

const lastRow = (x: Tensor): Tensor => slice(x, { axis: 1, start: x.shape[1]! - 1, end: x.shape[1]! });

/** One row of each sequence: [batch, tokens, d] -> [batch, 1, d]. */
const rowAt = (x: Tensor, at: Tensor): Tensor => {
  const [batch, tokens, d] = x.shape as readonly [number, number, number];
  const firsts = constant(
    Int32Array.from({ length: batch }, (_, i) => i * tokens),
    [batch],
  );
  return reshape(gather(reshape(x, [batch * tokens, d]), add(at, firsts)), [batch, 1, d]);
};

/** The rows of which logits are wanted. */
export const rowsOf = (x: Tensor, lastOnly: boolean, at?: Tensor): Tensor =>
  at ? rowAt(x, at) : lastOnly ? lastRow(x) : x;

/** The last layer of a model without a head: it gives what it gets. */
const noLayer = (dim: number): Linear => {
  const refuse = (): never => {
    throw new PeftError('bad-program', 'head: a task without a head has no layer');
  };
  return { inDim: dim, outDim: dim, apply: (x) => x, dense: refuse, encode: refuse };
};

/** The head of a task after a pass. */
const headOf = (model: Model, spec: HeadSpec, config: ModelConfig, inputs: Inputs, states: States): Head => ({
  layer:
    spec.layer === ''
      ? noLayer(model.main.hiddenSize)
      : cappedHead(model.linears.get(spec.layer)!, spec.cap?.(config) ?? null),
  features: spec.features(model, states, inputs, config),
  mask: inputs[model.main.reads.mask] ?? null,
  call: states.call(spec.layer),
  pair: states.pair(),
});

/** The config of a model with another number of layers. */
const deeper = (config: ModelConfig, { main }: Model): ModelConfig => ({
  ...config,
  layers: main.paths('block').length,
});

/** A model with a task, whose head is as a family has it. */
export const withTask = <Out>(model: Model, config: ModelConfig, spec: HeadSpec, task: Task<Out>): TaskModel<Out> => {
  const run: TaskModel<Out>['run'] = (given, options) => {
    const stated = task.gives ? { ...given, ...task.gives } : given;
    const inputs = spec.inputs?.(stated, config) ?? stated;
    const states = model.states(inputs, options);
    const head = headOf(model, spec, config, inputs, states);
    const labelLosses: TaskRun<Out>['labelLosses'] = ({ labels, ...options } = {}) => {
      if (task.labelLosses) return task.labelLosses(head, labels ? { ...inputs, labels } : inputs, options);
      throw new PeftError(
        'bad-option',
        `${task.name}: gives no token a probability, which the objective reads; load the model for a language task, such as causalLM()`,
      );
    };
    const loss = (): Loss => {
      const own = task.loss(head, inputs);
      const term = spec.term?.(states, inputs, config) ?? null;
      return term ? addTerm(own, term) : own;
    };
    return { states, head, outputs: () => task.outputs(head), loss, labelLosses };
  };
  return {
    ...model,
    config,
    task,
    makes: spec.makes ?? [],
    with: (patch) => withTask(model.with(patch), config, spec, task),
    repeat: (ranges) => {
      const repeated = model.repeat(ranges);
      return withTask(repeated, deeper(config, repeated), spec, task);
    },
    run,
    outputs: (inputs, options) => run(inputs, options).outputs(),
    loss: (inputs, options) => run(inputs, options).loss(),
  };
};

/** The same of a decoder that predicts the next token. */
export const asCausalLM = (model: Model, config: ModelConfig, spec: HeadSpec, task: Task<Tensor>): CausalLM => {
  const inputsOf = (ids: Tensor, mask: Tensor | undefined): Inputs => (mask ? { ids, mask } : { ids });
  return {
    ...withTask(model, config, spec, task),
    with: (patch) => asCausalLM(model.with(patch), config, spec, task),
    repeat: (ranges) => {
      const repeated = model.repeat(ranges);
      return asCausalLM(repeated, deeper(config, repeated), spec, task);
    },
    hidden: (ids, { mask, lastOnly = false, at, ...options } = {}) => {
      const inputs = inputsOf(ids, mask);
      const { features } = headOf(model, spec, config, inputs, model.states(inputs, options));
      return rowsOf(features, lastOnly, at);
    },
    logits: (ids, { mask, lastOnly = false, at, ...options } = {}) => {
      const inputs = inputsOf(ids, mask);
      const { layer, features, call } = headOf(model, spec, config, inputs, model.states(inputs, options));
      return layer.apply(rowsOf(features, lastOnly, at), call);
    },
  };
};
