import { detached, filesAt, openModelWeights, type Place } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules, type Shape, sameShape } from '@peftjs/tensor';
import { loadConfig } from './config/load.ts';
import type { ModelConfig } from './config/model-config.ts';
import { buildModel, headOf, needsOf } from './families/build.ts';
import { fileNames, type StoredTensor, storedTensor } from './families/checkpoint-layout.ts';
import type { Family } from './families/family.ts';
import { familyOfConfig } from './families/index.ts';
import type { CausalLM, TaskModel } from './task-model.ts';
import { causalLM } from './tasks/causal-lm.ts';
import type { Task } from './tasks/task.ts';
import { randomValues, type TensorNeeds, type WeightDType, type WeightSource } from './weights.ts';

interface Found {
  readonly tensors: ReadonlyMap<string, { readonly shape: Shape }>;
}

/** Options of `loadModel`. */
export interface LoadModelOptions<Out> {
  /** Default: `causalLM()`. */
  readonly task?: Task<Out>;
  /** Seed of the first values of a task's head that the folder does not have. Default 0. */
  readonly seed?: number;
  /**
   * How matrices are kept: weights of linear layers and tables, not norms, biases and new heads. `f16` rounds each value to the nearest; a file
   * that holds f16 loses nothing. Half the memory on WebGPU; the cpu executor holds f16 as f32. Adapters train over it in f32; it cannot be
   * trained itself. Default `f32`.
   */
  readonly dtype?: WeightDType;
}

const rules: Rules<LoadModelOptions<never>> = {
  task: mustBe.object,
  seed: mustBe.whole,
  dtype: mustBe.oneOf(['f32', 'f16']),
};

/** The mismatches between the tensors that a model wants stored and those of a checkpoint. */
const misfits = (
  wanted: readonly StoredTensor[],
  { tensors }: Found,
  isIgnored: (name: string) => boolean,
  mayMiss: (name: string) => boolean,
): string[] => {
  const names = new Set(wanted.map(({ name }) => name));
  return [
    ...wanted.flatMap(({ name, shape }) => {
      const found = tensors.get(name);
      if (!found) return mayMiss(name) ? [] : [`${name} [${shape}] is missing`];
      return sameShape(found.shape, shape) ? [] : [`${name} is [${found.shape}], the config makes it [${shape}]`];
    }),
    ...[...tensors.keys()]
      .filter((name) => !names.has(name) && !isIgnored(name))
      .map((name) => `${name} belongs to nothing in the model`),
  ];
};

/** The tensors that any of a family's heads has: those of other tasks are left unread. */
const headTensors = (family: Family, config: ModelConfig): ReadonlySet<string> =>
  new Set(
    Object.values(family.heads).flatMap((head) => [...head.needs({ ...config, tieWordEmbeddings: false }, 1).keys()]),
  );

/** Throws `bad-option` where the folder was written for another task and none was asked for. */
const checkTask = (dir: string, family: Family, config: ModelConfig): void => {
  if (family.heads.causalLM) return;
  const [found] = config.architectures;
  throw new PeftError(
    'bad-option',
    `${dir}: holds ${found ? `a ${found}` : `a model of type ${family.modelType}`}, which is no decoder; say what it is for: loadModel(dir, { task: sequenceClassifier({ labels: 2 }) }). There are ${Object.keys(family.heads).join(', ')}.`,
  );
};

/**
 * Loads a model from a folder (a path on disk, a URL, `Files`) with `config.json` and safetensors, as Hugging Face writes them, with the head of a task: that of the folder,
 * or a new one where it has none. Only headers are read and checked now; each tensor is read when an executor first needs it, so
 * the folder must stay as it is.
 * Throws `bad-option`, `file-missing`, `bad-config`, `unknown-architecture`, `bad-safetensors`; `bad-option` for a task that the model has no head for;
 * `state-mismatch` with all tensors that are missing, left over or of another shape.
 */
export async function loadModel(dir: Place, options?: Omit<LoadModelOptions<unknown>, 'task'>): Promise<CausalLM>;
export async function loadModel<Out>(
  dir: Place,
  options: LoadModelOptions<Out> & { readonly task: Task<Out> },
): Promise<TaskModel<Out>>;
export async function loadModel(dir: Place, options: LoadModelOptions<unknown> = {}): Promise<TaskModel<unknown>> {
  checkOptions('loadModel', rules as Rules<LoadModelOptions<unknown>>, options);
  const { task, seed = 0, dtype = 'f32' } = options;
  const files = await filesAt(dir);
  const said = await loadConfig(files);
  const family = familyOfConfig(said);
  const { layout } = family;
  if (!task) checkTask(files.name, family, said);
  const wanted: Task<unknown> = task ?? causalLM();
  const head = headOf(family, wanted);
  // It is read as long as the model lives, so it must not hold files open.
  const checkpoint = await openModelWeights(detached(files));
  const config = family.settle?.(said, (name) => checkpoint.tensors.has(name)) ?? said;
  const needs: TensorNeeds = needsOf(config, wanted);
  const nameInFile = fileNames(layout, checkpoint.tensors.keys());
  const stored = new Map<string, StoredTensor>();
  for (const [name, { shape }] of needs)
    stored.set(name, { ...storedTensor(layout, name, shape), name: nameInFile(name) });
  const heads = headTensors(family, config);
  // What is not trained is never made anew: without it nothing was learnt.
  const isNew = (name: string): boolean => head.trained.some((path) => name.startsWith(`${path}.`));
  const problems = misfits(
    [...stored.values()],
    checkpoint,
    (name) => layout.ignored.test(name) || heads.has(name),
    isNew,
  );
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `${files.name}: the checkpoint does not fit its config.json: ${problems.join('; ')}. Download the folder again, or correct the config.`,
    );
  const read = async ({ name, fromFile }: StoredTensor): Promise<Float32Array> =>
    fromFile(await checkpoint.readFloat32(name));
  const fresh = randomValues(needs, config.layers, seed);
  const weights: WeightSource = {
    origin: files.name,
    dtype,
    has: (name) => stored.has(name),
    load: (name, shape) => {
      const tensor = stored.get(name)!;
      return checkpoint.tensors.has(tensor.name) ? () => read(tensor) : fresh.load(name, shape);
    },
  };
  return buildModel(config, weights, wanted);
}
