import {
  type Adapter,
  type AdapterHubHead,
  type AdapterHubHeadData,
  type AdapterHubModel,
  type AdapterTensorData,
  filesAt,
  listed,
  type Place,
  readAdapterHubHead,
  writeAdapterHubHead,
} from '@peftjs/io';
import { checkOptions, type OnExecutor, onExecutor, PeftError, type Tensor } from '@peftjs/tensor';
import { type Model, requireModel, type Task, type TaskModel } from '@peftjs/transformer';
import { type Adapted, attach } from '../attach.ts';
import { checkSizes } from '../check-sizes.ts';
import { copyFaults } from '../copies.ts';
import { checkFinite } from '../finite.ts';
import type { State } from '../method.ts';
import { requireAdapted } from '../require-adapted.ts';
import { isHeads } from '../task-heads.ts';
import { headFaults, stackFields, taskOfHead } from './head-config.ts';

/** The model of an adapter or a head as files of the library describe it. */
export const hubModelOf = ({ layout, main }: Model, name: string | null): AdapterHubModel => ({
  modelType: layout.modelType,
  hiddenSize: main.hiddenSize,
  modelClass: layout.modelClass,
  name,
});

const taskOf = (model: Model): Task<unknown> | null => ('task' in model ? (model as TaskModel<unknown>).task : null);

/** The head to write with a model's adapter; null for a model whose task trains none. Throws `bad-adapter`. */
export const headData = (base: Model, tensors: ReadonlyMap<string, AdapterTensorData>): AdapterHubHeadData | null => {
  const task = taskOf(base);
  if (base.trainedHeads.length === 0 || !task) return null;
  const own = [...tensors].filter(([name]) => isHeads(base, name));
  return {
    config: stackFields(task),
    labels: task.labels,
    tensors: new Map(own.map(([name, tensor]) => [base.layout.nameInFile(name), tensor])),
  };
};

/** Tensors of an adapter that the library's T5 puts into the file of its head, with the whole model. */
const ofAdapters =
  /\.(adapters|loras|prefix_tunings|prefix_gates|prompt_tunings|shared_parameters|refts|invertible_adapters)\./;

/** Names that heads of transformers' classes have for tensors that have another here. */
const otherNames: readonly (readonly [part: RegExp, instead: string])[] = [
  [/(^|\.)(encoder|decoder)\.embed_tokens\.weight$/, '$1shared.weight'],
  [/^(cls\.predictions|lm_head)\.bias$/, '$1.decoder.bias'],
];

/** The tensors of the trained head by the model's names, and those that only repeat the base's. */
const sorted = (
  base: Model,
  { tensors, config }: AdapterHubHead,
): { readonly own: State; readonly rest: State; readonly faults: string[] } => {
  const [own, rest, faults] = [
    new Map<string, AdapterTensorData>(),
    new Map<string, AdapterTensorData>(),
    [] as string[],
  ];
  const trained = new Map(
    base.trainedHeads.flatMap((path) =>
      ['weight', 'bias'].map((part) => [base.layout.nameInFile(`${path}.${part}`), `${path}.${part}`] as const),
    ),
  );
  for (const [name, tensor] of tensors) {
    const mine = trained.get(name);
    if (mine !== undefined) own.set(mine, tensor as AdapterTensorData);
    else if (name === 'final_logits_bias') {
      if (tensor.data.some((value) => value !== 0))
        faults.push('final_logits_bias is not all zeros, and nothing adds it here');
    } else if (config && base.trainedHeads.length > 0) faults.push(`${name} belongs to nothing in the head`);
    else if (!ofAdapters.test(name))
      rest.set(
        otherNames.reduce((text, [part, instead]) => text.replace(part, instead), name),
        tensor as AdapterTensorData,
      );
  }
  return { own: own as State, rest: rest as State, faults };
};

/** A head over the vocabulary that the library gave its own name, as the model has it. */
const asLanguageHead = (base: Model, head: AdapterHubHead): AdapterHubHead => {
  const { config } = head;
  if (config?.['head_type'] !== 'seq2seq_lm' || taskOf(base)?.head !== 'seq2seqLM') return head;
  const { layers = 1, bias = false, layer_norm: norm = false, shift_labels: shifts = false } = config;
  if (layers !== 1 || bias !== false || norm !== false || shifts !== false)
    throw new PeftError(
      'bad-adapter',
      'head_config.json: a head seq2seq_lm is read here with layers 1, bias false, layer_norm false and shift_labels false, as the model itself has it',
    );
  const renamed = [...head.tensors].map(
    ([name, tensor]) => [name.replace(/^heads\.default\.0\./, 'lm_head.'), tensor] as const,
  );
  return {
    ...head,
    modelClass: base.layout.modelClass,
    config: null,
    labels: null,
    outputs: null,
    tensors: new Map(renamed),
  };
};

/** Throws `bad-adapter` for the head of another class, or of another form than the model's. */
const checkHead = (base: Model, head: AdapterHubHead): void => {
  const { modelClass, modelType } = base.layout;
  const task = taskOf(base);
  const remedy =
    'Load the model with the task of the file, loadModel(dir, { task: await adapterHubTask(folder) }), and the head on that.';
  if (head.modelClass !== modelClass)
    throw new PeftError(
      'bad-adapter',
      `head_config.json: is the head of a ${head.modelClass}, and the model is a ${modelClass}. ${remedy}`,
    );
  const faults = [
    ...(head.modelType !== null && head.modelType !== modelType
      ? [`model_type is ${head.modelType}, and the model's is ${modelType}`]
      : []),
    ...(head.hiddenSize !== null && head.hiddenSize !== base.main.hiddenSize
      ? [`hidden_size is ${head.hiddenSize}, and the model's is ${base.main.hiddenSize}`]
      : []),
    ...(task ? headFaults(head, task) : []),
  ];
  if (faults.length > 0)
    throw new PeftError(
      'bad-adapter',
      `head_config.json: is another head than the model's:${listed(faults)}\n${remedy}`,
    );
};

/**
 * The tensors of a file's head that a model trains, by its names. Whatever else the file holds must be the base's own. Throws `bad-adapter` for a head of another class or form;
 * `state-mismatch` for tensors that are missing, left over or of other sizes, and for other values of a layer that is the base's.
 */
const headState = async (base: Model, found: AdapterHubHead): Promise<State> => {
  const head = asLanguageHead(base, found);
  checkHead(base, head);
  checkSizes(head.config ?? {}, head.tensors as State);
  checkFinite(head.tensors);
  const { own, rest, faults } = sorted(base, head);
  const trained = new Set(own.keys());
  const copies = await copyFaults(base, rest, trained);
  const problems = [
    ...faults,
    ...copies.problems,
    ...[...copies.kept.keys()].map((name) => `${name} belongs to nothing in the model`),
  ];
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `the file of the head holds other tensors than the model has: ${problems.slice(0, 8).join('; ')}. Give the base that it was saved on.`,
    );
  return own;
};

/** The head of a folder of adapter-hub/adapters. Throws `bad-adapter` where the folder has none and the model's is new. */
export const headIn = async ({ head = null }: Adapter, base: Model): Promise<State> => {
  if (head) return headState(base, head);
  if (base.trainedHeads.length === 0) return new Map();
  throw new PeftError(
    'bad-adapter',
    `the folder has no head (head_config.json), and that of the model, a ${base.layout.modelClass}, is new, without anything learnt: ${base.layout.trainedModules.join(', ')}; save the adapter with_head=True there, or load the model that it was trained on`,
  );
};

/**
 * The task for the head in a folder of adapter-hub/adapters, alone or beside an adapter: give it to `loadModel`, and load the head or the adapter on that model. Of an
 * `…AdapterModel` it is a `stackedHead`, of a class of transformers the task of that class. Throws `file-missing`, and `bad-adapter` with the field for a head that is not computed here.
 */
export const adapterHubTask = async (dir: Place): Promise<Task<Tensor>> => {
  const files = await filesAt(dir);
  const head = await readAdapterHubHead(files);
  try {
    return taskOfHead(head);
  } catch (cause) {
    if (cause instanceof PeftError)
      throw new PeftError(cause.code === 'bad-option' ? 'bad-adapter' : cause.code, `${files.name}: ${cause.message}`, {
        cause,
      });
    throw cause;
  }
};

/**
 * A base with the head of a folder that adapter-hub/adapters' `save_head` or `saveHead` wrote, and no method: only the head is trained. Throws `file-missing`, `bad-safetensors`, `bad-torch`;
 * `bad-adapter` for a head of another class or form; `state-mismatch` for tensors that do not fit.
 */
export const loadHead = async <M extends Model>(base: M, dir: Place): Promise<Adapted<M>> => {
  requireModel('loadHead', base);
  const files = await filesAt(dir);
  const head = await readAdapterHubHead(files);
  try {
    return attach(base, [], { state: await headState(base, head) });
  } catch (cause) {
    if (cause instanceof PeftError) throw new PeftError(cause.code, `${files.name}: ${cause.message}`, { cause });
    throw cause;
  }
};

/**
 * Writes the task's head alone, as adapter-hub/adapters' `save_head` does: `head_config.json` and `model_head.safetensors`, the head called `default`. Throws `bad-adapter` for a model whose task trains no head, and
 * for a head that the library has no words for; `write-failed`.
 */
export const saveHead = async (adapted: Adapted<Model>, dir: Place, options: OnExecutor): Promise<void> => {
  requireAdapted('saveHead', adapted);
  checkOptions('saveHead', onExecutor, options);
  const { base } = adapted;
  const heads = [...adapted.state].filter(([name]) => isHeads(base, name));
  const read = heads.map(
    async ([name, v]) => [name, { shape: v.shape, data: (await options.executor.read(v)) as Float32Array }] as const,
  );
  const head = headData(base, new Map(await Promise.all(read)));
  if (!head)
    throw new PeftError(
      'bad-adapter',
      `saveHead: the task of a ${base.layout.modelClass} trains no head; save the adapter alone`,
    );
  await writeAdapterHubHead(dir, head, hubModelOf(base, base.layout.name));
};
