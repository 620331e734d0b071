import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AdapterConfig, type JsonValue, load, type MethodFactory } from '@peftjs/core';
import { memoryFiles, writeAdapter } from '@peftjs/io';
import { isPeftError } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import * as all from 'peftjs';
import { describe, expect, test } from 'vitest';

type Fields = Readonly<Record<string, JsonValue>>;

/** The types of Hugging Face PEFT with the fields of their configurations, by `make_types.py`. */
const record = JSON.parse(await readFile(join(import.meta.dirname, '../data/io/peft-types.json'), 'utf8')) as {
  readonly types: Readonly<Record<string, Fields>>;
  readonly init_lora_weights: readonly string[];
};

type Format = MethodFactory<never>;

const formats = Object.values<unknown>(all).filter(
  (v): v is Format => typeof v === 'function' && 'reads' in v && 'fromConfig' in v,
);

/** Types that are not read, with what is said instead. */
const refused: Readonly<Record<string, RegExp>> = {
  ADAMSS: /clusters .* are not in its file; .*merge_and_unload/,
  PSOFT: /signs, .* save_as_lora/,
  XLORA: /several adapters/,
};

/** Fields of every type that say where a file comes from. */
const ofFiles = new Set([
  'task_type',
  'peft_type',
  'auto_mapping',
  'peft_version',
  'base_model_name_or_path',
  'revision',
  'inference_mode',
]);

/** Fields that any file may have, since they change nothing in what it computes. */
const ofNoFunction: Readonly<Record<string, readonly string[]>> = {
  'told by the base': ['fan_in_fan_out', 'token_dim', 'num_attention_heads', 'num_layers', 'hidden_size'],
  'first values': [
    ...['init_weights', 'init_ia3_weights', 'init_scale', 'prompt_tuning_init_text', 'prompt_tuning_init_task'],
    ...[
      'prompt_tuning_init_state_dict_path',
      'tokenizer_name_or_path',
      'tokenizer_kwargs',
      'loftq_config',
      'eva_config',
    ],
    ...['corda_config', 'lora_ga_config'],
  ],
  'what was trained, where the file holds what it computes': [
    ...[
      'encoder_hidden_size',
      'encoder_reparameterization_type',
      'prefix_projection',
      'num_virtual_tokens',
      'cpt_mask',
    ],
    ...['mask_type', 'projection_prng_key', 'alpha_pattern', 'r', 'generator_seed', 'target_svd_config'],
  ],
  'how it is computed there': [
    'megatron_config',
    'megatron_core',
    'runtime_config',
    'progressbar',
    'runtime_offload_base_weight',
  ],
  'for convolutions alone': ['use_effective_conv2d'],
  'nothing in the type that has it': ['module_dropout', 'use_rslora', 'qalora_group_size'],
  'read beside another field': ['opt_weighted_loss_type', 'init_lora_weights'],
  'for layers that share a table, which are refused by name': ['ensure_weight_tying'],
};
const free = new Set(Object.values(ofNoFunction).flat());

const odd = (value: JsonValue): JsonValue[] => {
  if (typeof value === 'boolean') return [!value];
  return typeof value === 'number' ? [value + 1] : ['odd value', ['odd'], { odd: 1 }];
};

const keysOf = ({ options }: Format): ReadonlySet<string | undefined> =>
  new Set(Object.values<{ key: string | null }>(options ?? {}).map(({ key }) => key?.split('.')[0]));

const readBy = (config: AdapterConfig): string | null => {
  const format = formats.find((f) => f.reads(config));
  try {
    return format?.fromConfig(config).name ?? null;
  } catch (error) {
    if (isPeftError(error)) return null;
    throw error;
  }
};

const openMessage = async (config: AdapterConfig): Promise<string> => {
  const files = memoryFiles();
  await writeAdapter(files, config, new Map([['base_model.model.x', { shape: [200], data: new Float32Array(200) }]]));
  return load(tinyLlama(), files, formats).then(
    () => 'read',
    (error: Error) => error.message,
  );
};

describe.each(Object.entries(record.types))('%s', (type, fields) => {
  const config = { ...fields, peft_type: type, ...(type === 'TRAINABLE_TOKENS' && { token_indices: [1] }) };
  const format = formats.find((f) => f.reads(config));

  if (refused[type]) {
    test('is refused, with the reason', async () => expect(await openMessage(config)).toMatch(refused[type]!));
    return;
  }

  test('is read with its defaults', () => expect(readBy(config)).toBe(format?.name));

  test('has no field that is passed over', () => {
    const own = keysOf(format!);
    const passedOver = Object.keys(fields)
      .filter((field) => !ofFiles.has(field) && !own.has(field) && !free.has(field))
      .filter((field) => odd(fields[field]!).every((value) => readBy({ ...config, [field]: value }) === format!.name));
    expect(passedOver).toEqual([]);
  });
});

describe('LORA', () => {
  const fields = record.types['LORA']!;
  const read = (more: Fields): string | null =>
    readBy({ ...fields, peft_type: 'LORA', target_modules: ['q_proj'], ...more });

  /** The variants, each by its own field, with the method that reads it; null for none. */
  const variants: Readonly<Record<string, readonly [value: JsonValue, reads: string | null]>> = {
    use_dora: [true, 'dora'],
    use_qalora: [true, 'qalora'],
    lora_bias: [true, 'lora'],
    alora_invocation_tokens: [[1], 'alora'],
    velora_config: [{ num_groups: 2 }, 'velora'],
    kasa_config: [{ beta: 0.1 }, 'kasa'],
    use_bdlora: [{ target_modules_bd_a: ['q_proj'], nblocks: 2, match_strict: false }, 'bdlora'],
    monteclora_config: [{ num_samples: 2 }, 'monteclora'],
    arrow_config: [{ top_k: 2 }, null],
    layer_replication: [[[0, 1]], null],
    target_parameters: [['experts.down_proj'], 'lora'],
  };

  test.each(Object.entries(variants))('%s is read by its method, or by none', (field, [value, name]) => {
    expect(read({ [field]: value })).toBe(name);
  });

  test("says of a router's file that its experts are elsewhere", async () => {
    const config = { ...fields, peft_type: 'LORA', target_modules: ['q_proj'], arrow_config: { top_k: 2 } };
    expect(await openMessage(config)).toMatch(/experts; load these with lora, one by one, and give them to arrow/);
  });

  test('has no field but these, options and those without a function', () => {
    const own = keysOf(formats.find(({ name }) => name === 'lora')!);
    const left = Object.keys(fields).filter((f) => !(f in variants || own.has(f) || ofFiles.has(f) || free.has(f)));
    expect(left).toEqual([]);
  });

  test('is read in every way to begin that keeps the base, and in those that its weights tell', () => {
    const by = Object.fromEntries(record.init_lora_weights.map((start) => [start, read({ init_lora_weights: start })]));
    expect(by).toEqual({
      gaussian: 'lora',
      orthogonal: 'lora',
      eva: 'lora',
      olora: 'olora',
      pissa: 'pissa',
      'pissa_niter_[number of iters]': null,
      corda: null,
      loftq: null,
      mica: 'mica',
    });
  });
});

test('BONE, which PEFT no longer has, is read', () =>
  expect(readBy({ peft_type: 'BONE', r: 2, target_modules: ['q_proj'], bias: 'Bone_only', init_weights: 'bat' })).toBe(
    'miss',
  ));
