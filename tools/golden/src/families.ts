import { join } from 'node:path';
import { coda } from '@peftjs/adapters';
import { type Adapted, load, type MethodFormat, type Objective, proGrad } from '@peftjs/core';
import { type Batch, batch, fromArray, pipe, type Row, repeat, type Stream } from '@peftjs/data';
import { noah } from '@peftjs/hybrid';
import { openSafetensors } from '@peftjs/io';
import {
  adalora,
  boft,
  c3a,
  deft,
  delora,
  dora,
  fourierft,
  frod,
  glora,
  gralora,
  hira,
  hra,
  loha,
  lokr,
  lora,
  miss,
  oft,
  osf,
  peanut,
  pvera,
  randlora,
  road,
  shira,
  supertuning,
  tinylora,
  unilora,
  vblora,
  vera,
  waveft,
} from '@peftjs/lora';
import { phaFor, poly } from '@peftjs/multitask';
import { adapterHubPrefixTuning, cartridge, prefixTuning, promptTuning } from '@peftjs/prompts';
import { ia3, ssf } from '@peftjs/scaling';
import { constant, type Executor, mul, reshape, type Shape, type Tensor } from '@peftjs/tensor';
import { adamw, train } from '@peftjs/trainer';
import {
  causalLM,
  type Inputs,
  imageClassifier,
  imageText,
  loadModel,
  maskedLM,
  multipleChoice,
  questionAnswering,
  seq2seqLM,
  sequenceClassifier,
  type Task,
  type TaskModel,
  tokenClassifier,
  zeroShot,
} from '@peftjs/transformer';
import {
  adaptFormer,
  binaryAdapter,
  clipAdapter,
  coCoOp,
  convpass,
  coOp,
  factTk,
  factTt,
  maple,
  tipAdapter,
  vpt,
  vqt,
} from '@peftjs/vision';

import { hubHeads } from './hub-heads.ts';

const data = join(import.meta.dirname, '../data');

/** A tiny model of a family with the head of a task, and the adapters on it that Python trained. */
export interface FamilyGolden {
  /** Its folder in `data/python/families`. */
  readonly name: string;
  readonly task: Task<Tensor>;
  readonly adapters: Readonly<Record<string, MethodFormat>>;
  /** Further ones, of which logits, gradients and files are compared, on one executor. */
  readonly types?: Readonly<Record<string, MethodFormat>>;
  /** Those of the adapters library: what `make_hub_families.py` makes. */
  readonly hub?: Readonly<Record<string, MethodFormat>>;
  /** Those of methods that no library has: what `own_vision.py` makes. */
  readonly own?: Readonly<Record<string, MethodFormat>>;
}

const classes = 3;

/** The decoders: what `decoders.py` makes. */
const decoders = [
  'llama-linear',
  'qwen2-yarn',
  'gemma3',
  'mistral',
  'mixtral',
  'qwen2-moe',
  'qwen3-moe',
  'gpt-oss',
  'qwen2',
  'qwen2-window',
  'qwen3',
  'qwen3-window',
  'gemma',
  'gemma2',
  'smollm3',
  'olmo2',
  'olmo3',
  'granite',
  'phi3',
  'phi4',
  'phi4-long',
  'stablelm',
  'stablelm-parallel',
  'stablelm-norms',
  'starcoder2',
  'cohere',
  'cohere-norms',
  'cohere2',
  'phi',
  'phi-norms',
  'gptj',
  'gpt-neox',
  'gpt-neox-serial',
  'opt',
  'opt-sums',
  'opt-bare',
  'bloom',
  'bloom-read',
  'opt-350m',
  'falcon',
  'falcon-new',
  'falcon-one-norm',
  'falcon-alibi',
];

const prompts = { 'prompt-tuning': promptTuning, 'prefix-tuning': prefixTuning };

/** Further adapters on decoders: of experts, and in front of positions that are not rotary. */
const further: Readonly<Record<string, Readonly<Record<string, MethodFormat>>>> = {
  'llama-linear': { 'lora-repeated': lora },
  opt: prompts,
  bloom: prompts,
  mixtral: { 'lora-experts': lora },
  'qwen2-moe': { 'lora-all': lora },
  'qwen3-moe': { 'lora-experts': lora },
  'gpt-oss': { 'lora-experts': lora },
};

/** Decoders whose class has its layers in another order than that of the forward pass, on which a method depends that draws over all of them. */
const otherOrder = ['gptj', 'phi3', 'opt-350m'];

/** Every type of PEFT that changes layers, by the golden's name; but Lily, whose mean over tokens counts padding there, which these inputs have. */
const types: Readonly<Record<string, MethodFormat>> = {
  adalora,
  boft,
  c3a,
  deft,
  delora,
  dora,
  fourierft,
  frod,
  glora,
  gralora,
  hira,
  hra,
  loha,
  lokr,
  miss,
  oft,
  osf,
  peanut,
  poly,
  pvera,
  randlora,
  road,
  shira,
  supertuning,
  tinylora,
  unilora,
  vblora,
  vera,
  waveft,
};

/** Encoders that `encoders.py` makes, each with two heads. */
const encoders = ['distilbert', 'electra', 'albert', 'mpnet'];

/** All of them. */
export const familyGoldens: readonly FamilyGolden[] = [
  {
    name: 'bert-sequence',
    task: sequenceClassifier({ labels: classes }),
    adapters: { lora, ia3, 'prompt-tuning': promptTuning, 'prefix-tuning': prefixTuning, 'lora-repeated': lora },
    types: { ...types, 'lora-bias': lora, 'lora-no-task': lora },
    own: { coda },
  },
  { name: 'bert-answers', task: questionAnswering(), adapters: { lora } },
  { name: 'bert-choice', task: multipleChoice({ choices: 3 }), adapters: { lora } },
  ...['distilbert', 'modernbert'].map((name) => ({
    name: `${name}-answers`,
    task: questionAnswering(),
    adapters: {},
  })),
  ...['distilbert', 'mpnet', 'modernbert'].map((name) => ({
    name: `${name}-choice`,
    task: multipleChoice({ choices: 3 }),
    adapters: {},
  })),
  { name: 'electra-choice', task: multipleChoice({ choices: 3 }), adapters: { lora } },
  ...['electra-mean-choice', 'electra-last-choice'].map((name) => ({
    name,
    task: multipleChoice({ choices: 3 }),
    adapters: {},
  })),
  { name: 'bert-masked', task: maskedLM(), adapters: { 'lora-head': lora, 'lora-embedding': lora } },
  { name: 'bert-token', task: tokenClassifier({ labels: classes }), adapters: { lora } },
  {
    name: 't5',
    task: seq2seqLM(),
    adapters: {
      lora,
      ia3,
      ...prompts,
      cartridge,
      'lora-tokens': lora,
      'lora-head': lora,
      'lora-head-whole': lora,
    },
    types,
    own: { pha: phaFor(1), coda },
    hub: { 'hub-prefix-tuning': adapterHubPrefixTuning },
  },
  { name: 'bart', task: seq2seqLM(), adapters: { lora, ia3, ...prompts } },
  {
    name: 'bart-even',
    task: seq2seqLM(),
    adapters: { 'prefix-tuning': prefixTuning },
    hub: { 'hub-prefix-tuning': adapterHubPrefixTuning },
  },
  { name: 'bart-sequence', task: sequenceClassifier({ labels: classes }), adapters: { lora } },
  { name: 'mbart-answers', task: questionAnswering(), adapters: { lora } },
  ...['t5', 'mt5', 'umt5'].flatMap((name) => [
    { name: `${name}-sequence`, task: sequenceClassifier({ labels: classes }), adapters: { lora } },
    { name: `${name}-token`, task: tokenClassifier({ labels: classes }), adapters: { lora } },
  ]),
  { name: 't5-answers', task: questionAnswering(), adapters: {} },
  { name: 'umt5', task: seq2seqLM(), adapters: { lora, 'prefix-tuning': prefixTuning } },
  { name: 'mbart', task: seq2seqLM(), adapters: { lora } },
  { name: 't5-gated', task: seq2seqLM(), adapters: { lora } },
  { name: 'mt5', task: seq2seqLM(), adapters: { lora } },
  { name: 'llama-sequence', task: sequenceClassifier({ labels: classes }), adapters: { lora } },
  { name: 'llama-token', task: tokenClassifier({ labels: classes }), adapters: { lora } },
  ...['llama-linear-answers', 'opt-350m-answers'].map((name) => ({
    name,
    task: questionAnswering(),
    adapters: { lora },
  })),
  ...['bloom-token', 'gpt-oss-token'].map((name) => ({
    name,
    task: tokenClassifier({ labels: classes }),
    adapters: { lora },
  })),
  { name: 'gpt2-token', task: tokenClassifier({ labels: classes }), adapters: {} },
  { name: 'gpt2-sequence', task: sequenceClassifier({ labels: classes }), adapters: { lora } },
  {
    name: 'roberta-sequence',
    task: sequenceClassifier({ labels: classes }),
    adapters: { lora, ia3, 'prompt-tuning': promptTuning, 'prefix-tuning': prefixTuning },
  },
  { name: 'roberta-masked', task: maskedLM(), adapters: { lora } },
  { name: 'xlm-roberta-token', task: tokenClassifier({ labels: classes }), adapters: { lora } },
  { name: 'deberta-sequence', task: sequenceClassifier({ labels: classes }), adapters: { lora, ia3 } },
  { name: 'deberta-masked', task: maskedLM(), adapters: { lora } },
  { name: 'deberta-token', task: tokenClassifier({ labels: classes }), adapters: {} },
  { name: 'deberta-v2-sequence', task: sequenceClassifier({ labels: classes }), adapters: { lora } },
  { name: 'deberta-v2-masked', task: maskedLM(), adapters: { lora } },
  { name: 'deberta-v2-token', task: tokenClassifier({ labels: classes }), adapters: {} },
  { name: 'modernbert-sequence', task: sequenceClassifier({ labels: classes }), adapters: { lora } },
  { name: 'modernbert-masked', task: maskedLM(), adapters: { lora } },
  { name: 'modernbert-token', task: tokenClassifier({ labels: classes }), adapters: {} },
  ...encoders.flatMap((name) => [
    { name: `${name}-sequence`, task: sequenceClassifier({ labels: classes }), adapters: { lora } },
    { name: `${name}-masked`, task: maskedLM(), adapters: {} },
  ]),
  {
    name: 'vit-image',
    task: imageClassifier({ labels: classes }),
    adapters: { lora },
    own: {
      vpt,
      'vpt-deep': vpt,
      adaptformer: adaptFormer,
      convpass,
      ssf,
      'binary-adapter': binaryAdapter,
      vqt,
      noah,
      'noah-kept': noah,
    },
  },
  { name: 'deit-image', task: imageClassifier({ labels: classes }), adapters: { lora } },
  {
    name: 'dinov2-image',
    task: imageClassifier({ labels: classes }),
    adapters: { lora, ia3 },
    own: { 'fact-tt': factTt, 'fact-tk': factTk },
  },
  { name: 'dinov2-other-image', task: imageClassifier({ labels: classes }), adapters: {} },
  { name: 'beit-image', task: imageClassifier({ labels: classes }), adapters: { lora } },
  {
    name: 'swin-image',
    task: imageClassifier({ labels: classes }),
    adapters: { lora, 'lora-all': lora },
  },
  { name: 'swin-other-image', task: imageClassifier({ labels: classes }), adapters: {} },
  { name: 'beit-shared-image', task: imageClassifier({ labels: classes }), adapters: {} },
  ...['clip-image', 'siglip-image'].map((name) => ({
    name,
    task: imageClassifier({ labels: classes }),
    adapters: { lora },
  })),
  {
    name: 'clip-pairs',
    task: imageText(),
    adapters: { lora, 'lora-all': lora, 'lora-text': lora, ia3 },
    own: { 'clip-adapter': clipAdapter },
  },
  { name: 'clip-first-pairs', task: imageText(), adapters: {} },
  { name: 'siglip-pairs', task: imageText(), adapters: { lora }, types: { unilora } },
  ...decoders.map((name) => ({
    name: `${name}-causal`,
    task: causalLM(),
    adapters: { lora, ...further[name] },
    ...(otherOrder.includes(name) && { types: { unilora } }),
  })),
];

/** The models that are tried on a software GPU too: one for each way in which attention differs. */
export const onWebgpu: readonly string[] = ['gemma2-causal', 'gemma3-causal', 'qwen2-moe-causal'];

/** An adapter that Python made. */
export interface FamilyAdapter extends FamilyGolden {
  readonly adapter: string;
  readonly format: MethodFormat;
  /** Whether logits, gradients and files are all that is compared, on one executor. */
  readonly brief?: boolean;
  /** The objective that it was trained by. Default: the task's own loss. */
  readonly objective?: (adapted: Adapted<TaskModel>) => Objective;
}

/** Every adapter of a library, which reads ours too. */
export const familyAdapters: readonly FamilyAdapter[] = familyGoldens.flatMap((golden) => [
  ...Object.entries({ ...golden.adapters, ...golden.hub }).map(([adapter, format]) => ({ ...golden, adapter, format })),
  ...Object.entries(golden.types ?? {}).map(([adapter, format]) => ({ ...golden, adapter, format, brief: true })),
  ...hubHeads.filter(({ name }) => name === golden.name).map((head) => ({ ...golden, ...head, brief: true })),
]);

/** The texts of three classes that `own_vision.py` has: the start, four tokens in place of a context, a name, the end. */
const classTexts: Readonly<Record<string, readonly number[]>> = {
  one: [0, 20, 20, 20, 20, 31, 9],
  two: [0, 20, 20, 20, 20, 40, 41, 9],
  three: [0, 20, 20, 20, 20, 52, 9],
};

/** Adapters on a model of pairs that tells pictures apart by those. */
const zeroShotAdapters = Object.entries({
  'co-op': coOp,
  'co-co-op': coCoOp,
  'co-op-classes': coOp,
  'pro-grad': coOp,
  maple,
  'tip-adapter': tipAdapter,
}).map(
  ([adapter, format]): FamilyAdapter => ({
    name: 'clip-pairs',
    task: zeroShot({
      labels: Object.keys(classTexts),
      texts: Object.keys(classTexts),
      encode: (name) => classTexts[name]!,
      padId: 9,
    }),
    adapters: {},
    adapter,
    format,
    ...(adapter === 'pro-grad' && {
      objective: ({ params }) => proGrad({ params, temperature: 2, weight: 0.8 }),
    }),
  }),
);

/** Every adapter of a method that no library has. */
export const ownFamilyAdapters: readonly FamilyAdapter[] = [
  ...familyGoldens.flatMap((golden) =>
    Object.entries(golden.own ?? {}).map(([adapter, format]) => ({ ...golden, adapter, format })),
  ),
  ...zeroShotAdapters,
];

/** Folders of a model, of an adapter made in Python, and of one that we wrote. */
export const familyModel = (name: string): string => join(data, 'python/families', name, 'model');
export const familyAdapter = (name: string, adapter: string): string =>
  join(data, 'python/families', name, adapter, 'adapter');
export const familyWritten = (name: string, adapter: string): string => join(data, 'peftjs/families', name, adapter);

/** A tensor of a golden. */
interface Recorded {
  readonly shape: Shape;
  readonly data: Float32Array;
}

/** All tensors of a file. */
export const recordedIn = async (
  path: Parameters<typeof openSafetensors>[0],
): Promise<ReadonlyMap<string, Recorded>> => {
  await using file = await openSafetensors(path);
  const all = new Map<string, Recorded>();
  for (const [name, { shape }] of file.tensors) all.set(name, { shape, data: await file.readFloat32(name) });
  return all;
};

/** What Python recorded of a model (`adapter` null) or of an adapter on it. */
export const recordedOf = (name: string, adapter: string | null): Promise<ReadonlyMap<string, Recorded>> =>
  recordedIn(join(data, 'python/families', name, adapter ?? '', 'golden.safetensors'));

/** Those whose name begins with a word, without it. */
export const groupOf = (recorded: ReadonlyMap<string, Recorded>, word: string): ReadonlyMap<string, Float32Array> =>
  new Map(
    [...recorded].flatMap(([name, t]) => (name.startsWith(`${word} `) ? [[name.slice(word.length + 1), t.data]] : [])),
  );

/** Our names of the inputs, by the library's. */
const inputNames = {
  input_ids: 'ids',
  attention_mask: 'mask',
  token_type_ids: 'tokenTypes',
  decoder_input_ids: 'decoderIds',
  decoder_attention_mask: 'decoderMask',
  pixel_values: 'pixels',
  labels: 'labels',
  float_labels: 'labels',
  start_positions: 'startPositions',
  end_positions: 'endPositions',
} as const;

/** The inputs that Python recorded, by our names: masks are numbers, all else are ids. */
const columnsOf = (
  recorded: ReadonlyMap<string, Recorded>,
): readonly (readonly [name: string, data: Float32Array | Int32Array, shape: Shape])[] =>
  Object.entries(inputNames).flatMap(([theirs, ours]) => {
    const found = recorded.get(theirs);
    return found
      ? [[ours, /mask|pixel|float/i.test(theirs) ? found.data : Int32Array.from(found.data), found.shape] as const]
      : [];
  });

/** The inputs of an adapter: its own, where Python recorded such, else those of its model. */
export const recordedInputs = async (name: string, adapter: string): Promise<ReadonlyMap<string, Recorded>> => {
  const own = await recordedOf(name, adapter);
  return columnsOf(own).length > 0 ? own : recordedOf(name, null);
};

/** Those of recorded columns as graph constants. */
export const inputsOf = (recorded: ReadonlyMap<string, Recorded>): Inputs =>
  Object.fromEntries(columnsOf(recorded).map(([name, data, shape]) => [name, constant(data, shape)]));

/** A model's logits as Python stored them: of a language model's, DeBERTa's and BLOOM's padded tokens zeros. */
export const storedLogits = ({ name }: Pick<FamilyGolden, 'name'>, logits: Tensor, { mask }: Inputs): Tensor =>
  name.endsWith('causal') || /^(deberta(-v2)?|bloom)-(masked|token)$/.test(name)
    ? mul(logits, reshape(mask!, [...mask!.shape, 1]))
    : logits;

/** The same as a stream that gives them as one batch, again and again. */
const streamOf = (recorded: ReadonlyMap<string, Recorded>): Stream<Batch> => {
  const columns = columnsOf(recorded);
  const size = columns[0]![2][0]!;
  const rows = Array.from(
    { length: size },
    (_, i): Row =>
      Object.fromEntries(
        columns.map(([name, data]) => {
          const own = data.length / size;
          return [name, data.subarray(i * own, (i + 1) * own)];
        }),
      ),
  );
  const shapes = Object.fromEntries(columns.map(([name, , shape]) => [name, shape.slice(1)]));
  return pipe(fromArray(rows), repeat(), batch({ size, shapes }));
};

/** The model of a golden. */
export const openModel = ({ name, task }: FamilyGolden): Promise<TaskModel> => loadModel(familyModel(name), { task });

/** An adapter in a folder, on that model. */
export const openAdapter = async (
  golden: FamilyGolden,
  dir: string,
  format: MethodFormat,
): Promise<Adapted<TaskModel>> => load(await openModel(golden), dir, [format]);

/** The library's name for one of our parameters. */
export const parameterThere = ({ base, method, params }: Adapted<TaskModel>, name: string): string => {
  if (method.layout === 'adapter-hub') return base.layout.nameInFile(name);
  if (!params.has('prompt_embeddings') || !method.keys?.['prompt_embeddings']) {
    const [mine, theirs] = Object.entries(method.keys ?? {}).find(([key]) => name.startsWith(key)) ?? [];
    return mine === undefined ? `base_model.model.${name}` : name.replace(mine, theirs!);
  }
  const rows = method.name === 'cartridge' ? 'trainable_embedding' : 'embedding.weight';
  return method.keys?.[name] ? `prompt_encoder.${rows}` : `base_model.${name}`;
};

/** Three steps of AdamW on the rows that Python recorded: learning rate 10⁻², no decay, no clipping. Gives the loss before each. */
export const trainOnBatch = async (
  adapted: Adapted<TaskModel>,
  recorded: ReadonlyMap<string, Recorded>,
  executor: Executor,
  objective?: Objective,
): Promise<number[]> => {
  const data = streamOf(recorded);
  const { losses } = await train(adapted, {
    executor,
    data,
    steps: 3,
    schedule: () => 1e-2,
    optimizer: adamw(),
    ...(objective && { objective }),
  });
  return losses.map(({ loss }) => loss);
};
