import { PeftError, sizeOf, type Tensor, type Variable, variable } from '@peftjs/tensor';
import type { ModelConfig } from '../config/model-config.ts';
import { asHalf } from '../half.ts';
import { makeModel } from '../make-model.ts';
import type { Model } from '../model.ts';
import { untouched } from '../parts.ts';
import type { Path } from '../sites.ts';
import { asCausalLM, type TaskModel, withTask } from '../task-model.ts';
import type { Task } from '../tasks/task.ts';
import type { TensorNeeds, WeightSource } from '../weights.ts';
import { fileName } from './checkpoint-layout.ts';
import type { Family, HeadSpec } from './family.ts';
import { unknownArchitecture } from './on-demand.ts';
import { stackedSpec } from './stacked-head.ts';

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
  if (task.stack) {
    if (family.stacked) return stackedSpec(family.stacked, task, task.stack);
    throw new PeftError(
      'bad-option',
      `model: stacked heads of the adapters library are not known here for ${family.modelType}; leave out stackedHead`,
    );
  }
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

/** The config of a head's towers. */
const towersConfig = ({ towersOf }: HeadSpec, config: ModelConfig): ModelConfig => towersOf?.(config) ?? config;

/** The tensors of a model with a task's head, by Hugging Face name. */
export const needsOf = (family: Family, config: ModelConfig, task: Task<unknown>): TensorNeeds => {
  const head = headOf(family, task);
  return new Map([...family.needs(towersConfig(head, config)), ...head.needs(config, outputsOf(task, config))]);
};

/** The key in a model's layout under which its family stands; one and the same in several copies of this package. */
const mark: unique symbol = Symbol.for('@peftjs/transformer/family');

/** The family that a model was made by. Throws `unknown-architecture` for one that is not of this package's making. */
export const familyOfModel = ({ layout }: Pick<Model, 'layout'>): Family => {
  const { [mark]: family } = layout as { readonly [mark]?: Family };
  if (family) return family;
  throw unknownArchitecture('model', layout.modelType);
};

/** The towers of a config, with a head or without one. */
const modelOf = (
  family: Family,
  config: ModelConfig,
  needs: TensorNeeds,
  weights: WeightSource,
  head: HeadSpec | null,
): Model => {
  const { layout, defaultTargets } = family;
  const tensors = new Map<string, Variable>();
  const isTrained = (name: string): boolean => head?.trained.some((path) => name.startsWith(`${path}.`)) ?? false;
  const isWithin = (path: Path): boolean => isTrained(`${path}.`);
  for (const [name, { shape }] of needs) {
    const isMatrix = (shape.length === 2 || shape.length === 3) && sizeOf(shape) > 1 && !name.endsWith('_bias');
    const isHalf = weights.dtype === 'f16' && isMatrix && !isTrained(name);
    const bits = isHalf ? (weights.loadHalf?.(name) ?? null) : null;
    const whole = bits ? variable(name, shape, bits, 'f16') : variable(name, shape, weights.load(name, shape));
    tensors.set(name, isHalf ? asHalf(name, whole) : whole);
  }
  const parts = family.parts(config, tensors);
  // Not the parts themselves: views of the model hold this layout, and would keep layers alive that they have replaced.
  const stacks = new Set(parts.experts?.keys());
  return makeModel(
    {
      towers: family.towers(config),
      roles: typeof family.roles === 'function' ? family.roles(config) : family.roles,
      trainedHeads: [...parts.linears.keys()].filter(isWithin),
      layout: {
        ...{ [mark]: family },
        modelType: family.modelType,
        modelClass: head?.modelClass ?? '',
        source: weights.source ?? null,
        name: weights.source?.name ?? null,
        repeats: null,
        trainedModules: head?.trained ?? [],
        headsAreNew: [...needs.keys()].some((name) => isTrained(name) && weights.isNew?.(name) === true),
        outerModule: head?.layer === '' ? (layout.prefix ?? '') : '',
        nameInFile: (name) => fileName(layout, name),
        storedTransposed: (path) =>
          [`${path}.weight`, ...(stacks.has(path) ? [path] : [])].some((name) => layout.transposed?.test(name)),
        defaultTarget: (table) => (Object.hasOwn(defaultTargets, table) ? defaultTargets[table] : undefined),
      },
      pair: head?.pair
        ? {
            size: head.pairSize!(config),
            of: (model, states, inputs) => head.pair!(model, states, inputs, config),
          }
        : null,
      narrow: (reduction, layers) => {
        const narrow = family.narrow(config, reduction, layers);
        return modelOf(family, narrow, family.needs(narrow), zeroWeights, null);
      },
    },
    { experts: new Map(), ...parts, ...untouched },
  );
};

const zeroWeights: WeightSource = {
  has: () => true,
  load: (_, shape) => () => new Float32Array(sizeOf(shape)),
};

/** A family's model for a task. Throws `bad-option` for one that it has no head for. */
export const modelWith = (
  family: Family,
  config: ModelConfig,
  weights: WeightSource,
  task: Task<unknown>,
): TaskModel<unknown> => {
  const head = headOf(family, task);
  const model = modelOf(family, towersConfig(head, config), needsOf(family, config, task), weights, head);
  // The name of that head is that of its task, whose outputs are logits.
  return task.head === 'causalLM'
    ? asCausalLM(model, config, head, task as Task<Tensor>)
    : withTask(model, config, head, task);
};
