import { PeftError, sizeOf, type Tensor, type Variable, variable } from '@peftjs/tensor';
import type { ModelConfig } from '../config/model-config.ts';
import { asHalf } from '../half.ts';
import { makeModel } from '../make-model.ts';
import type { Model } from '../model.ts';
import { untouched } from '../parts.ts';
import type { Path } from '../sites.ts';
import { asCausalLM, type CausalLM, type TaskModel, withTask } from '../task-model.ts';
import { causalLM } from '../tasks/causal-lm.ts';
import type { Task } from '../tasks/task.ts';
import { randomValues, type TensorNeeds, type WeightSource } from '../weights.ts';
import type { Family, HeadSpec } from './family.ts';
import { familyOfConfig } from './index.ts';

/** `BertModel`: the class without a head. Its names in files lack the beginning that those of the others have. */
const noHead = ({ heads }: Family): HeadSpec => ({
  modelClass: `${Object.values(heads)[0]!.modelClass.replace(/(For[A-Z]|LMHead).*$/, '')}Model`,
  layer: '',
  trained: [],
  needs: () => new Map(),
  features: (_, { main }) => main,
});

/** A family's head for a task. Throws `bad-option` with the tasks that the family has. */
export const headOf = (family: Family, task: Task<unknown>): HeadSpec => {
  const found = family.heads[task.head];
  if (found) return found;
  if (task.head === 'features' && !family.heads.imageText) return noHead(family);
  throw new PeftError(
    'bad-option',
    `model: ${family.modelType} has no head for ${task.name}; it has ${Object.keys(family.heads).join(', ')}. Give one of these as task.`,
  );
};

/** How many outputs a task's head has. */
const outputsOf = ({ labels }: Task<unknown>, { vocabSize }: ModelConfig): number => labels?.length ?? vocabSize;

/** The tensors of a model with a task's head, by Hugging Face name. */
export const needsOf = (config: ModelConfig, task: Task<unknown>): TensorNeeds => {
  const family = familyOfConfig(config);
  return new Map([...family.needs(config), ...headOf(family, task).needs(config, outputsOf(task, config))]);
};

/** The towers of a config, with a head or without one. */
const modelOf = (config: ModelConfig, needs: TensorNeeds, weights: WeightSource, head: HeadSpec | null): Model => {
  const family = familyOfConfig(config);
  const { layout, defaultTargets } = family;
  const tensors = new Map<string, Variable>();
  const isTrained = (name: string): boolean => head?.trained.some((path) => name.startsWith(`${path}.`)) ?? false;
  const isWithin = (path: Path): boolean => isTrained(`${path}.`);
  for (const [name, { shape }] of needs) {
    const isMatrix = (shape.length === 2 || shape.length === 3) && sizeOf(shape) > 1 && !name.endsWith('_bias');
    const isHalf = weights.dtype === 'f16' && isMatrix && !isTrained(name);
    const whole = variable(name, shape, weights.load(name, shape));
    tensors.set(name, isHalf ? asHalf(name, whole) : whole);
  }
  const parts = family.parts(config, tensors);
  return makeModel(
    {
      towers: family.towers(config),
      roles: typeof family.roles === 'function' ? family.roles(config) : family.roles,
      trainedHeads: [...parts.linears.keys()].filter(isWithin),
      layout: {
        modelType: family.modelType,
        modelClass: head?.modelClass ?? '',
        source: weights.source ?? null,
        name: weights.source?.name ?? null,
        trainedModules: head?.trained ?? [],
        outerModule: head?.layer === '' ? (layout.prefix ?? '') : '',
        storedTransposed: (path) =>
          [`${path}.weight`, ...(parts.experts?.has(path) ? [path] : [])].some((name) => layout.transposed?.test(name)),
        defaultTarget: (table) => (Object.hasOwn(defaultTargets, table) ? defaultTargets[table] : undefined),
      },
      narrow: (reduction, layers) => {
        const narrow = family.narrow(config, reduction, layers);
        return modelOf(narrow, family.needs(narrow), zeroWeights, null);
      },
    },
    { experts: new Map(), ...parts, ...untouched },
  );
};

const zeroWeights: WeightSource = {
  has: () => true,
  load: (_, shape) => () => new Float32Array(sizeOf(shape)),
};

/** The model of whatever family a config names. Throws `unknown-architecture`; `bad-option` for a task that it has no head for. */
export function buildModel(config: ModelConfig, weights: WeightSource): CausalLM;
export function buildModel<Out>(config: ModelConfig, weights: WeightSource, task: Task<Out>): TaskModel<Out>;
export function buildModel(
  config: ModelConfig,
  weights: WeightSource,
  task: Task<unknown> = causalLM(),
): TaskModel<unknown> {
  const head = headOf(familyOfConfig(config), task);
  const model = modelOf(config, needsOf(config, task), weights, head);
  // The name of that head is that of its task, whose outputs are logits.
  return task.head === 'causalLM'
    ? asCausalLM(model, config, head, task as Task<Tensor>)
    : withTask(model, config, head, task);
}

/**
 * Random first weights for a config: matrices from N(0, 0.02²), those that write to the residual stream from N(0, 0.02² / (2·layers)),
 * norms 1, biases 0. Each tensor depends on the seed and its name alone. Radford et al., 2019 (GPT-2, section 2.3).
 */
export const randomWeights = (config: ModelConfig, seed: number, task: Task<unknown> = causalLM()): WeightSource =>
  randomValues(needsOf(config, task), config.layers, seed);
