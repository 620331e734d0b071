import { detached, filesAt, openModelWeights, type Place, sameTensor, steady, type TensorReader } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules, type Shape, sameShape, sizeOf } from '@peftjs/tensor';
import { loadQuantizedConfig } from './config/load.ts';
import type { ModelConfig } from './config/model-config.ts';
import type { Experts } from './experts.ts';
import { fileNames, type StoredTensor, storedTensor, strayPrefix } from './families/checkpoint-layout.ts';
import type { Family, HeadSpec } from './families/family.ts';
import { headOf, modelWith, needsOf } from './families/model-with.ts';
import type { Linear } from './linear.ts';
import type { LoadModelOptions } from './load-model.ts';
import type { Path } from './sites.ts';
import { storedExperts, storedLayers, zeroBiases } from './stored-parts.ts';
import type { TaskModel } from './task-model.ts';
import { causalLM } from './tasks/causal-lm.ts';
import type { Task } from './tasks/task.ts';
import { randomValues, type TensorNeeds, type WeightSource } from './weights.ts';

interface Found {
  readonly tensors: ReadonlyMap<string, { readonly shape: Shape }>;
}

const rules: Rules<LoadModelOptions<never>> = {
  task: mustBe.object,
  seed: mustBe.whole,
  newHead: mustBe.flag,
  dtype: mustBe.oneOf(['f32', 'f16']),
  readers: mustBe.such('a list of readers', (v) => Array.isArray(v)),
};

/** Values of a layer that is not made of floats: nothing asks for them. */
const noFloats = (who: string, name: string) => (): never => {
  throw new PeftError('bad-option', `${who}: ${name} is stored packed, its floats are those of its layer: dense()`);
};

/** The mismatches between the tensors that a model wants stored and those of a checkpoint. */
const misfits = (
  wanted: readonly Pick<StoredTensor, 'name' | 'shape'>[],
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

/** The tensors that any of a family's classes has: those of other tasks are left unread. */
const otherTensors = (family: Family, config: ModelConfig): ReadonlySet<string> =>
  new Set([
    ...family.needs(config).keys(),
    ...Object.values(family.heads).flatMap((head) => [
      ...head.needs({ ...config, tieWordEmbeddings: false }, 1).keys(),
    ]),
  ]);

/** Problems in one line; of many only the number is told. */
const told = (problems: readonly string[]): string => {
  const more = problems.length - 8;
  return [...problems.slice(0, 8), ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
};

/** The way out of problems: where a head of other classes is all that does not fit, a new one. */
const remedy = (problems: readonly string[], isHead: (name: string) => boolean): string =>
  problems.every((problem) => isHead(problem.split(' ')[0]!))
    ? 'The task has other labels than the folder: give those, or newHead: true for a new head.'
    : 'Download the folder again, or correct the config.';

/** Throws `state-mismatch` where all that is missing is of a head that the class of the folder has not: nothing is wrong with its files. */
const checkClass = (
  dir: string,
  problems: readonly string[],
  { architectures: [found] }: ModelConfig,
  { modelClass }: HeadSpec,
  ofHead: ReadonlySet<string>,
  task: string,
): void => {
  const missing = problems.filter((problem) => / is missing$/.test(problem));
  const isOther = found !== undefined && found !== modelClass && missing.length > 0;
  if (!isOther || !problems.every((problem) => ofHead.has(problem.split(' ')[0]!))) return;
  throw new PeftError(
    'state-mismatch',
    `${dir}: holds a ${found}, which has not what ${task} reads and does not train: ${told(missing)}. Open it for the task that it was written for, or take a folder of a ${modelClass}.`,
  );
};

/** The numbers of a config, those of its parts too. */
const countsOf = (config: object): readonly (readonly [field: string, value: number])[] =>
  Object.entries(config).flatMap(([field, value]: [string, unknown]) => {
    if (typeof value === 'number') return [[field, value] as const];
    return typeof value === 'object' && value !== null ? countsOf(value) : [];
  });

/** Throws `bad-config` for far more blocks than there are tensors, before any is made: each block has some. */
const checkLayers = (dir: string, config: ModelConfig, tensors: number): void => {
  for (const [field, value] of countsOf(config))
    if (/layers$/i.test(field) && value > Math.max(1000, tensors))
      throw new PeftError(
        'bad-config',
        `${dir}: config.json makes ${value} blocks (${field}), the checkpoint has ${tensors} tensors in all. Correct the config, or download the folder again.`,
      );
};

/** Throws `bad-config` where a tensor that is read by nothing here is not all zeros. */
const checkZeros = async (dir: string, zeros: RegExp | undefined, checkpoint: TensorReader): Promise<void> => {
  for (const name of checkpoint.tensors.keys()) {
    if (!zeros?.test(name) || (await checkpoint.readFloat32(name)).every((value) => value === 0)) continue;
    throw new PeftError(
      'bad-config',
      `${dir}: ${name} is not all zeros, and nothing adds it here; choose a model without it`,
    );
  }
};

/** Hints of where a prefix comes from. */
const wrappers: Readonly<Record<string, string>> = {
  '_orig_mod.': ', as those of a model that torch.compile had wrapped: save `model._orig_mod`',
  'module.': ', as those of a model that DataParallel had wrapped: save `model.module`',
};

/** Throws `state-mismatch` where all names have something in front that a model's have not; transformers does not read such either. */
const checkPrefix = (dir: string, { tensors }: Found, wanted: ReadonlySet<string>): void => {
  const prefix = strayPrefix(tensors.keys(), wanted);
  if (prefix === undefined) return;
  const hint = Object.hasOwn(wrappers, prefix) ? `${wrappers[prefix]}, or rename` : '. Rename';
  throw new PeftError(
    'state-mismatch',
    `${dir}: the names of all ${tensors.size} tensors begin with ${JSON.stringify(prefix)}${hint} them without it.`,
  );
};

/** A config whose head is tied to the embedding only where the checkpoint has no other: transformers takes the file's, whatever the flag says. */
const withOwnHead = async (
  family: Family,
  head: HeadSpec,
  config: ModelConfig,
  checkpoint: TensorReader,
  nameInFile: (name: string) => string,
): Promise<ModelConfig> => {
  if (!config.tieWordEmbeddings) return config;
  const loose = { ...config, tieWordEmbeddings: false };
  const tied = head.needs(config, config.vocabSize);
  const own = [...head.needs(loose, config.vocabSize).keys()].find(
    (name) => name.endsWith('.weight') && !tied.has(name) && checkpoint.tensors.has(nameInFile(name)),
  );
  const table = `${family.towers(config)[0].tokenTable!}.weight`;
  if (own === undefined || !checkpoint.tensors.has(nameInFile(table))) return config;
  return (await sameTensor(checkpoint, nameInFile(own), nameInFile(table))) ? config : loose;
};

/** Throws `bad-option` where the folder was written for another task and none was asked for. */
const checkTask = (dir: string, family: Family, config: ModelConfig): void => {
  if (family.heads.causalLM) return;
  const [found] = config.architectures;
  const { imageText, imageClassifier } = family.heads;
  const usual = imageText
    ? 'imageText()'
    : `${imageClassifier ? 'imageClassifier' : 'sequenceClassifier'}({ labels: 2 })`;
  throw new PeftError(
    'bad-option',
    `${dir}: holds ${found ? `a ${found}` : `a model of type ${family.modelType}`}, which is no decoder; say what it is for: loadModel(dir, { task: ${usual} }). There are ${Object.keys(family.heads).join(', ')}.`,
  );
};

/** A model with those layers and experts that a checkpoint stores packed. */
const withStored = (
  model: TaskModel<unknown>,
  packed: Awaited<ReturnType<typeof storedLayers>>,
  experts: ReturnType<typeof storedExperts>,
): TaskModel<unknown> => {
  if (packed.size + experts.size === 0) return model;
  const linears = [...packed].map(([path, layer]): [Path, Linear] => [
    path,
    layer.linear(`${path}.weight`, model.linears.get(path)!.dense().bias),
  ]);
  const matrices = [...experts].map(([path, stored]): [Path, Experts] => [
    path,
    stored.experts(path, model.experts.get(path)!.bias),
  ]);
  return model.with({ linears: new Map(linears), experts: new Map(matrices) });
};

/** The work behind `loadModel`: a piece of its own in a bundle, apart from families, which have much in common with it. */
export const readModel = async (dir: Place, options: LoadModelOptions<unknown>): Promise<TaskModel<unknown>> => {
  checkOptions('loadModel', rules as Rules<LoadModelOptions<unknown>>, options);
  const { task, seed = 0, newHead = false, dtype = 'f32', readers = [] } = options;
  if (/\.gguf$/i.test(String(dir)))
    throw new PeftError('bad-option', `loadModel: ${String(dir)} is a GGUF file; loadGguf of @peftjs/gguf reads it`);
  const files = await filesAt(dir);
  // It is read as long as the model lives, so it must not hold files open. Config and weights are those of one save.
  const [{ config: said, family, find, findExperts }, checkpoint] = await steady(
    files,
    ['config.json'],
    async () => [await loadQuantizedConfig(files, readers), await openModelWeights(detached(files))] as const,
  );
  const { layout } = family;
  checkLayers(files.name, said, checkpoint.tensors.size);
  if (!task) checkTask(files.name, family, said);
  const wanted: Task<unknown> = task ?? causalLM();
  const head = headOf(family, wanted);
  if (newHead && head.trained.length === 0)
    throw new PeftError(
      'bad-option',
      `loadModel: newHead makes the head of a task that trains one, and ${wanted.name} has none; leave it out`,
    );
  const nameInFile = fileNames(layout, checkpoint.tensors.keys());
  const settled = family.settle?.(said, (name) => checkpoint.tensors.has(name)) ?? said;
  const config = await withOwnHead(family, head, settled, checkpoint, nameInFile);
  const needs: TensorNeeds = needsOf(family, config, wanted);
  checkPrefix(files.name, checkpoint, new Set([...needs.keys()].flatMap((name) => [name, nameInFile(name)])));
  const packed = await storedLayers(find, needs, checkpoint, nameInFile);
  const experts = storedExperts(findExperts, needs, checkpoint, nameInFile);
  const packedTensors = new Set([...packed.values(), ...experts.values()].flatMap(({ tensors }) => tensors));
  for (const name of await zeroBiases(packed.keys(), needs, checkpoint, nameInFile)) packedTensors.add(name);
  const isPacked = (name: string): boolean =>
    experts.has(name) || (packed.has(name.replace(/\.weight$/, '')) && name.endsWith('.weight'));
  /** With the names that the file has. A tensor that lies in pieces elsewhere may be whole here. */
  const asFound = ({ pieces, ...tensor }: StoredTensor, own: string): StoredTensor => {
    const name = nameInFile(own);
    if (!pieces || checkpoint.tensors.has(name)) return { ...tensor, name };
    return { ...tensor, name, pieces: pieces.map((piece) => ({ ...piece, name: nameInFile(piece.name) })) };
  };
  /** Tensors that the file has left for pieces: a config may say more than there can be, which is then not spelt out. */
  let left = checkpoint.tensors.size;
  const piecewise = (name: string, shape: Shape): StoredTensor => {
    const tensor = storedTensor(layout, name, shape, config, left);
    left -= tensor.pieces?.length ?? 0;
    return tensor;
  };
  const stored = new Map<string, StoredTensor>();
  for (const [name, { shape }] of needs) if (!isPacked(name)) stored.set(name, asFound(piecewise(name, shape), name));
  const others = new Set([...otherTensors(family, config)].flatMap((name) => [name, nameInFile(name)]));
  // What is not trained is never made anew: without it nothing was learnt.
  const isNew = (name: string): boolean => head.trained.some((path) => name.startsWith(`${path}.`));
  const wholly = [...stored].filter(([name]) => !(newHead && isNew(name)));
  const problems = misfits(
    wholly.flatMap(([, tensor]): readonly Pick<StoredTensor, 'name' | 'shape'>[] => tensor.pieces ?? [tensor]),
    checkpoint,
    (name) => layout.ignored.test(name) || layout.zeros?.test(name) || others.has(name) || packedTensors.has(name),
    isNew,
  );
  const ofHead = new Set([...head.needs(config, config.vocabSize).keys()].map(nameInFile));
  if (problems.length > 0) checkClass(files.name, problems, config, head, ofHead, wanted.name);
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `${files.name}: the checkpoint does not fit its config.json: ${told(problems)}. ${remedy(problems, isNew)}`,
    );
  await checkZeros(files.name, layout.zeros, checkpoint);
  const read = async ({ name, pieces, shape, fromFile }: StoredTensor): Promise<Float32Array> => {
    if (!pieces) return fromFile(await checkpoint.readFloat32(name));
    const values = new Float32Array(sizeOf(shape));
    let at = 0;
    for (const piece of pieces) {
      values.set(await checkpoint.readFloat32(piece.name), at);
      at += sizeOf(piece.shape);
    }
    return fromFile(values);
  };
  const fresh = randomValues(needs, config.layers, seed);
  const weights: WeightSource = {
    source: files,
    dtype,
    has: (name) => needs.has(name),
    isNew: (name) => {
      const tensor = stored.get(name);
      if (!tensor) return false;
      return (newHead && isNew(name)) || (tensor.pieces === undefined && !checkpoint.tensors.has(tensor.name));
    },
    load: (name, shape) => {
      const tensor = stored.get(name);
      if (!tensor) return noFloats(files.name, name);
      return weights.isNew!(name) ? fresh.load(name, shape) : () => read(tensor);
    },
    loadHalf: (name) => {
      const tensor = stored.get(name);
      if (!tensor || tensor.pieces || (newHead && isNew(name))) return null;
      if (checkpoint.tensors.get(tensor.name)?.dtype !== 'F16') return null;
      return async () => tensor.fromFile((await checkpoint.read(tensor.name)).data as Uint16Array);
    },
  };
  // The model is no variable here: what reads its weights lives as long as they do, and would keep it alive, and with it layers that a view of it has replaced.
  return withStored(modelWith(family, config, weights, wanted), packed, experts);
};
