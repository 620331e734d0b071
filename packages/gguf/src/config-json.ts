import { PeftError } from '@peftjs/tensor';
import { type Architecture, fieldsOf } from './architecture.ts';
import { architectures } from './architectures.ts';
import type { GgufValue } from './header.ts';
import type { GgufFile } from './open-gguf.ts';
import { scalingOf } from './rope-factors.ts';

/** A model's config, as Hugging Face's `config.json` has it, and the architecture that it is of. */
export interface GgufConfig {
  readonly architecture: Architecture;
  readonly json: Readonly<Record<string, unknown>>;
}

/** Fields of every architecture that are read here, or say nothing of how values are computed. */
const known = [
  'block_count',
  'context_length',
  'embedding_length',
  'feed_forward_length',
  'attention.head_count',
  'attention.head_count_kv',
  'attention.key_length',
  'attention.value_length',
  'rope.freq_base',
  'rope.dimension_count',
  'rope.scaling.type',
  'rope.scaling.factor',
  'rope.scaling.original_context_length',
  'rope.scaling.finetuned',
  'vocab_size',
  'tensor_data_layout',
];

/** Throws `bad-config` for fields that ask for something that is not computed here. */
const checkFields = (file: GgufFile, name: string, { numbers, reads = [] }: Architecture): void => {
  const prefix = `${name}.`;
  const read = new Set([...known, ...numbers.map(([field]) => field), ...reads].map((field) => prefix + field));
  const odd = [...file.metadata.keys()].filter((key) => key.startsWith(prefix) && !read.has(key));
  if (odd.length > 0)
    throw new PeftError(
      'bad-config',
      `${file.name}: asks for ${odd.join(', ')}, which no ${name} does here. Take a file of another model.`,
    );
};

const idsOf = (metadata: ReadonlyMap<string, GgufValue>): Readonly<Record<string, unknown>> => ({
  bos_token_id: metadata.get('tokenizer.ggml.bos_token_id') ?? null,
  eos_token_id: metadata.get('tokenizer.ggml.eos_token_id') ?? null,
  pad_token_id: metadata.get('tokenizer.ggml.padding_token_id') ?? null,
});

/**
 * The `config.json` that a GGUF file's metadata makes. Throws `unknown-architecture` with those that there are; `bad-config` for what is missing, or
 * asked for and not computed here.
 */
export const configJsonOf = async (file: GgufFile): Promise<GgufConfig> => {
  const name = file.metadata.get('general.architecture');
  const kind = file.metadata.get('general.type') ?? 'model';
  if (kind !== 'model')
    throw new PeftError(
      'bad-config',
      `${file.name}: holds ${kind === 'adapter' ? 'an adapter' : `a ${String(kind)}`}, no model`,
    );
  if (typeof name !== 'string' || !Object.hasOwn(architectures, name))
    throw new PeftError(
      'unknown-architecture',
      `${file.name}: is of the architecture ${JSON.stringify(name)}; supported are ${Object.keys(architectures).join(', ')}. Choose a model of one of these.`,
    );
  const architecture = architectures[name]!;
  checkFields(file, name, architecture);
  const fields = fieldsOf(name, file.metadata, file.tensors);
  const { number } = fields;
  const [hidden, heads] = [number('embedding_length'), number('attention.head_count')];
  const missing = ['block_count', 'embedding_length', 'attention.head_count', 'feed_forward_length'].filter(
    (field) => number(field) === undefined,
  );
  if (missing.length > 0)
    throw new PeftError(
      'bad-config',
      `${file.name}: has no number ${missing.map((field) => `${name}.${field}`).join(', ')}. Download it again.`,
    );
  if (number('block_count')! > file.tensors.size)
    throw new PeftError(
      'bad-config',
      `${file.name}: claims ${number('block_count')} blocks and has ${file.tensors.size} tensors in all. Download it again.`,
    );
  const tokens = file.metadata.get('tokenizer.ggml.tokens');
  const headDim = number('attention.key_length') ?? hidden! / heads!;
  if ((number('attention.value_length') ?? headDim) !== headDim)
    throw new PeftError('bad-config', `${file.name}: has values of another width than keys, which no ${name} has here`);
  const theta = number('rope.freq_base') ?? 10_000;
  const scaling = await scalingOf(file, fields, theta, headDim);
  return {
    architecture,
    json: {
      model_type: architecture.modelType,
      vocab_size: number('vocab_size') ?? (Array.isArray(tokens) ? tokens.length : undefined),
      tie_word_embeddings: !file.tensors.has('output.weight'),
      ...idsOf(file.metadata),
      ...architecture.config(fields, { theta, headDim, scaling }),
    },
  };
};
