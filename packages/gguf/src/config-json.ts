import { PeftError } from '@peftjs/tensor';
import { type Architecture, architectures, type Fields, fieldsOf, llama3Factors } from './architectures.ts';
import type { GgufValue } from './header.ts';
import { type GgufFile, readValues } from './open-gguf.ts';

/** A model's config, as Hugging Face's `config.json` has it, and the architecture that it is of. */
export interface GgufConfig {
  readonly architecture: Architecture;
  readonly json: Readonly<Record<string, unknown>>;
}

/** Fields of an architecture that are read here, or say nothing of how values are computed. */
const known = new Set([
  'block_count',
  'context_length',
  'embedding_length',
  'feed_forward_length',
  'attention.head_count',
  'attention.head_count_kv',
  'attention.layer_norm_rms_epsilon',
  'attention.layer_norm_epsilon',
  'attention.key_length',
  'attention.value_length',
  'attention.scale',
  'rope.freq_base',
  'rope.dimension_count',
  'rope.scaling.type',
  'rope.scaling.factor',
  'rope.scaling.original_context_length',
  'rope.scaling.finetuned',
  'vocab_size',
  'embedding_scale',
  'residual_scale',
  'logit_scale',
  'tensor_data_layout',
]);

/** Throws `bad-config` for fields that ask for something that is not computed here. */
const checkFields = (file: GgufFile, name: string): void => {
  const prefix = `${name}.`;
  const odd = [...file.metadata.keys()].filter((key) => key.startsWith(prefix) && !known.has(key.slice(prefix.length)));
  if (odd.length > 0)
    throw new PeftError(
      'bad-config',
      `${file.name}: asks for ${odd.join(', ')}, which no ${name} does here. Take a file of another model.`,
    );
};

/** The rule of a file's table of rotary factors, of which Llama 3's alone is known; null where it has none. Throws `bad-config` for another. */
const ropeRule = async (
  file: GgufFile,
  theta: number,
  headDim: number,
): Promise<Readonly<Record<string, unknown>> | null> => {
  const table = file.tensors.get('rope_freqs.weight');
  if (!table) return null;
  const found = await readValues(table);
  const factor = found.at(-1)!;
  const isWhole = found.length === headDim / 2;
  const wanted = isWhole ? llama3Factors(theta, headDim, factor) : [];
  if (isWhole && wanted.every((v, i) => Math.abs(v - found[i]!) < 1e-4 * v))
    return {
      rope_type: 'llama3',
      factor,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
  throw new PeftError(
    'bad-config',
    `${file.name}: its rope_freqs.weight is not the table of Llama 3, the only one that is known`,
  );
};

const scalingOf = ({ text, number }: Fields): Readonly<Record<string, unknown>> | null => {
  const type = text('rope.scaling.type') ?? 'none';
  if (type === 'none') return null;
  return {
    rope_type: type,
    factor: number('rope.scaling.factor'),
    original_max_position_embeddings: number('rope.scaling.original_context_length'),
  };
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
  checkFields(file, name);
  const architecture = architectures[name]!;
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
  const scaling = scalingOf(fields) ?? (await ropeRule(file, theta, headDim));
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
