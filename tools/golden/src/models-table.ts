import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject, openSafetensors } from '@peftjs/io';
import { isPeftError } from '@peftjs/tensor';
import { parseConfig } from '@peftjs/transformer';
import { familyGoldens, familyModel, familyWritten, onWebgpu } from './families.ts';

const models = join(import.meta.dirname, '../data/python/models');

/** The models that people know, by `model_type`, in the order of the table; others follow, without a name. */
const known: Readonly<Record<string, string>> = {
  llama: 'Llama 1 to 3.3, SmolLM, SmolLM2',
  mistral: 'Mistral',
  mixtral: 'Mixtral',
  qwen2: 'Qwen2, Qwen2.5',
  qwen3: 'Qwen3',
  qwen2_moe: 'Qwen1.5-MoE, Qwen2-MoE',
  qwen3_moe: 'Qwen3-MoE',
  gpt_oss: 'gpt-oss, in BF16 and MXFP4',
  gemma: 'Gemma',
  gemma2: 'Gemma 2',
  gemma3_text: 'Gemma 3, of texts',
  smollm3: 'SmolLM3',
  olmo2: 'OLMo 2',
  olmo3: 'OLMo 3',
  granite: 'Granite 3',
  phi3: 'Phi-3, Phi-4',
  phi: 'Phi-1, Phi-1.5, Phi-2',
  stablelm: 'StableLM',
  starcoder2: 'StarCoder2',
  cohere: 'Command R, Aya',
  cohere2: 'Command R7B, Command A',
  gpt_neox: 'GPT-NeoX, Pythia',
  gptj: 'GPT-J',
  opt: 'OPT',
  bloom: 'BLOOM, BLOOMZ',
  falcon: 'Falcon',
  gpt2: 'GPT-2, DistilGPT-2',
  bert: 'BERT',
  roberta: 'RoBERTa',
  'xlm-roberta': 'XLM-R',
  distilbert: 'DistilBERT',
  electra: 'ELECTRA',
  albert: 'ALBERT',
  mpnet: 'MPNet',
  deberta: 'DeBERTa',
  'deberta-v2': 'DeBERTa-v2, DeBERTa-v3',
  modernbert: 'ModernBERT',
  t5: 'T5, T5 1.1, FLAN-T5',
  mt5: 'mT5',
  umt5: 'umT5',
  bart: 'BART',
  mbart: 'mBART, mBART-50',
  vit: 'ViT',
  deit: 'DeiT',
  dinov2: 'DINOv2, small to large',
  beit: 'BEiT',
  swin: 'Swin',
  clip: 'CLIP',
  siglip: 'SigLIP',
};

/** A tiny model that Python recorded. */
interface Tested {
  readonly modelType: string;
  readonly name: string;
  /** The class of transformers. */
  readonly architecture: string;
  /** The ways in which its layers or positions are special, by the config. */
  readonly traits: readonly string[];
  readonly gradients: number;
  readonly hasTokens: boolean;
  /** Adapters that PEFT made, and those of ours that PEFT took. */
  readonly read: readonly string[];
  readonly written: readonly string[];
  readonly onWebgpu: boolean;
}

type Json = Readonly<Record<string, unknown>>;

const ropesOf = (config: Json): readonly Json[] => {
  const rope = config['rope_parameters'];
  if (!isObject(rope)) return [];
  return 'rope_theta' in rope ? [rope] : Object.values(rope).filter(isObject);
};

/** Special traits that a config tells of. */
const traitsOf = (config: Json): readonly string[] => {
  const ropes = ropesOf(config);
  const kinds = [...new Set(ropes.map((rope) => String(rope['rope_type'])))].filter((kind) => kind !== 'default');
  const isOn = (field: string): boolean => config[field] != null && config[field] !== false;
  const hasWindow = isOn('sliding_window') && config['use_sliding_window'] !== false;
  const share = ropes.map((rope) => rope['partial_rotary_factor']).find((one) => one != null && one !== 1);
  return [
    ...kinds.map((kind) => `rope ${kind}`),
    ...(ropes.length > 1 ? ['two ropes'] : []),
    ...(share === undefined ? [] : [`${share} of a head rotated`]),
    ...(hasWindow ? ['windows'] : []),
    ...(isOn('attn_logit_softcapping') ? ['caps'] : []),
    ...(isOn('use_parallel_residual') ? ['parallel halves'] : []),
    ...(config['tie_word_embeddings'] === true ? ['tied head'] : []),
  ];
};

const jsonIn = async (folder: string): Promise<Json> =>
  JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Json;

const describeConfig = (config: Json): Pick<Tested, 'modelType' | 'architecture' | 'traits'> => ({
  modelType: String(config['model_type']),
  architecture: String((config['architectures'] as readonly unknown[] | undefined)?.[0]),
  traits: traitsOf(config),
});

/** The folders of models whose texts were recorded. */
const writers = async (): Promise<ReadonlySet<unknown>> => {
  const texts = JSON.parse(await readFile(join(models, '../../io/texts.json'), 'utf8')) as readonly Json[];
  return new Set(texts.map(({ model }) => model));
};

/** The models of the families' goldens. */
const ofFamilies = async (): Promise<readonly Tested[]> => {
  const texts = await writers();
  return Promise.all(
    familyGoldens.map(async ({ name, adapters }) => {
      const folder = familyModel(name);
      await using golden = await openSafetensors(join(folder, '../golden.safetensors'));
      const names = [...golden.tensors.keys()];
      const written = Object.keys(adapters).filter((adapter) =>
        existsSync(join(familyWritten(name, adapter), 'record.json')),
      );
      const described = describeConfig(await jsonIn(folder));
      // transformers says of every mT5 that its head is tied.
      const hasHead = names.includes('gradient lm_head.weight');
      return {
        ...described,
        traits: described.traits.filter((trait) => trait !== 'tied head' || !hasHead),
        name,
        gradients: names.filter((tensor) => tensor.startsWith('gradient ')).length,
        hasTokens: names.includes('greedy') || texts.has(`families/${name}`),
        read: Object.keys(adapters),
        written,
        onWebgpu: onWebgpu.includes(name),
      };
    }),
  );
};

/** The models that the goldens of all methods are on. */
const ofMethods = async (): Promise<readonly Tested[]> =>
  Promise.all(
    (await readdir(models)).sort().map(async (name) => ({
      ...describeConfig(await jsonIn(join(models, name))),
      name,
      gradients: 0,
      hasTokens: true,
      read: ['those of all methods'],
      written: ['those of all methods'],
      onWebgpu: false,
    })),
  );

/** The `model_type`s that can be loaded, as the error of an unknown one lists them. */
const loadable = async (): Promise<readonly string[]> => {
  try {
    await parseConfig({ model_type: 'none' });
  } catch (error) {
    const list = isPeftError(error) ? /supported are (.*?)\. /.exec(error.message)?.[1] : undefined;
    if (list !== undefined) return list.split(', ');
  }
  throw new Error('an unknown model_type is no longer answered with those that are known');
};

const joined = (all: Iterable<string>): string => [...new Set(all)].join(', ') || '–';

const rowOf = (modelType: string, tested: readonly Tested[]): string => {
  const cells = [
    `\`${modelType}\``,
    known[modelType] ?? '–',
    joined(tested.map(({ architecture }) => `\`${architecture}\``)),
    joined(tested.flatMap(({ traits }) => traits)),
    tested.some(({ gradients }) => gradients > 0) ? 'logits, loss, gradients of all weights' : 'logits, loss',
    tested.some(({ hasTokens }) => hasTokens) ? '20' : '–',
    joined(tested.flatMap(({ read }) => read)),
    joined(tested.flatMap(({ written }) => written)),
    joined(['reference', 'cpu', ...(tested.some((one) => one.onWebgpu) ? ['webgpu'] : [])]),
  ];
  return `| ${cells.join(' | ')} |`;
};

/** The table of models: a row for each `model_type` that can be loaded, made of what is recorded of it. Throws for one without a golden. */
export const modelsTable = async (): Promise<string> => {
  const tested = [...(await ofFamilies()), ...(await ofMethods())];
  const types = await loadable();
  const problems = types.flatMap((type) => [
    ...(tested.some(({ modelType }) => modelType === type) ? [] : [`${type} has no golden`]),
  ]);
  if (problems.length > 0) throw new Error(problems.join('; '));
  const order = [...new Set([...Object.keys(known), ...types])].filter((type) => types.includes(type));
  const head = [
    '`model_type`',
    'models',
    'classes of transformers',
    'tried with',
    'the same as transformers',
    'greedy tokens',
    'adapters of PEFT read',
    'adapters of ours read by PEFT',
    'executors',
  ];
  return [
    `| ${head.join(' | ')} |`,
    `| ${head.map(() => '---').join(' | ')} |`,
    ...order.map((type) =>
      rowOf(
        type,
        tested.filter(({ modelType }) => modelType === type),
      ),
    ),
  ].join('\n');
};

const marks = ['<!-- models: pnpm models -->', '<!-- end of models -->'] as const;

/** A page with the table between its marks. */
export const withModels = (page: string, table: string): string => {
  const [start, end] = marks.map((mark) => page.indexOf(mark)) as [number, number];
  if (start < 0 || end < start) throw new Error(`the page has no ${marks.join(' … ')}`);
  return `${page.slice(0, start + marks[0].length)}\n\n${table}\n\n${page.slice(end)}`;
};
