import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryFiles } from '@peftjs/io';
import { isPeftError } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { loadConfig, loadGenerationConfig, parseConfig } from '../src/config/load.ts';
import type { DecoderConfig } from '../src/families/decoder/config.ts';
import { allFamilies } from '../src/families/index.ts';
import { modelTypes, openFamily } from '../src/families/on-demand.ts';
import { ropeTable } from '../src/families/rope-table.ts';
import { scratch } from './scratch.ts';

/** As `meta-llama/Llama-3.2-1B` has it. */
const llama32 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 128000,
  eos_token_id: [128001, 128008],
  head_dim: 64,
  hidden_act: 'silu',
  hidden_size: 2048,
  initializer_range: 0.02,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 32.0,
    high_freq_factor: 4.0,
    low_freq_factor: 1.0,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000.0,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  use_cache: true,
  vocab_size: 128256,
};

const small = {
  model_type: 'llama',
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};
const gpt2 = {
  model_type: 'gpt2',
  vocab_size: 50257,
  n_embd: 768,
  n_layer: 12,
  n_head: 12,
  n_positions: 1024,
  n_ctx: 1024,
  bos_token_id: 50256,
  eos_token_id: 50256,
};

const scaling = {
  kind: 'llama3',
  factor: 32,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  originalMaxPositions: 8192,
};

test('a Llama 3.2 config in our names', async () => {
  expect(await parseConfig(llama32)).toEqual({
    modelType: 'llama',
    vocabSize: 128256,
    hiddenSize: 2048,
    intermediateSize: 8192,
    layers: 16,
    heads: 32,
    keyValueHeads: 8,
    headDim: 64,
    maxPositions: 131072,
    normEps: 1e-5,
    tieWordEmbeddings: true,
    attentionBias: false,
    mlpBias: false,
    activation: 'silu',
    ropeTheta: 500000,
    ropeScaling: scaling,
    bosId: 128000,
    eosIds: [128001, 128008],
    padId: null,
    architectures: ['LlamaForCausalLM'],
    labels: null,
  });
});

test('what an older Llama config leaves out has the defaults of transformers', async () => {
  expect(await parseConfig({ ...small, pad_token_id: -1, num_key_value_heads: null, head_dim: null })).toMatchObject({
    keyValueHeads: 4,
    headDim: 4,
    maxPositions: 2048,
    normEps: 1e-6,
    ropeTheta: 10000,
    ropeScaling: null,
    tieWordEmbeddings: false,
    bosId: null,
    eosIds: [],
    padId: null,
  });
});

test('rope_parameters of transformers 5 mean the same as rope_theta and rope_scaling', async () => {
  const { rope_scaling, rope_theta, ...rest } = llama32;
  expect(await parseConfig({ ...rest, rope_parameters: { rope_theta, ...rope_scaling } })).toEqual(
    await parseConfig(llama32),
  );
  expect(await parseConfig({ ...llama32, rope_parameters: { rope_theta, ...rope_scaling } })).toEqual(
    await parseConfig(llama32),
  );
  expect(await parseConfig({ ...small, rope_parameters: { rope_theta: 5e4, rope_type: 'default' } })).toMatchObject({
    ropeTheta: 5e4,
    ropeScaling: null,
  });
  expect(await parseConfig({ ...small, rope_scaling: { type: 'default' } })).toMatchObject({ ropeScaling: null });
});

test('a GPT-2 config in our names', async () => {
  expect(await parseConfig(gpt2)).toEqual({
    modelType: 'gpt2',
    vocabSize: 50257,
    hiddenSize: 768,
    intermediateSize: 3072,
    layers: 12,
    heads: 12,
    headDim: 64,
    maxPositions: 1024,
    normEps: 1e-5,
    tieWordEmbeddings: true,
    activation: 'gelu-tanh',
    bosId: 50256,
    eosIds: [50256],
    padId: null,
    architectures: [],
    labels: null,
  });
  expect(await parseConfig({ ...gpt2, n_inner: 100, activation_function: 'relu' })).toMatchObject({
    intermediateSize: 100,
    activation: 'relu',
  });
});

test.each(['mamba', 'Llama', '', 'constructor', '__proto__', 7, null, undefined])(
  'model_type %j lists the supported ones',
  async (model_type) => {
    const message = await messageOf('unknown-architecture', () => parseConfig({ ...small, model_type }));
    expect(message).toContain('supported are llama, qwen2');
  },
);

const bad: [string, object, string][] = [
  [
    'heads',
    { ...small, num_attention_heads: 3, hidden_size: 16 },
    'hidden_size 16 is not a multiple of num_attention_heads 3',
  ],
  [
    'key/value heads',
    { ...small, num_key_value_heads: 3 },
    'num_attention_heads 4 is not a multiple of num_key_value_heads 3',
  ],
  ['odd heads', { ...small, head_dim: 5 }, 'head_dim 5 is odd'],
  ['eos beyond the vocabulary', { ...small, eos_token_id: [1, 32] }, 'eos_token_id 32 is not within vocab_size 32'],
  ['a missing size', { ...small, hidden_size: undefined }, 'hidden_size: '],
  ['a text for a size', { ...small, hidden_size: '16' }, 'hidden_size: '],
  ['a fraction', { ...small, num_hidden_layers: 1.5 }, 'num_hidden_layers: '],
  ['no layers', { ...small, num_hidden_layers: 0 }, 'num_hidden_layers: '],
  ['an activation', { ...small, hidden_act: 'mish' }, 'hidden_act: '],
  [
    'a rope kind',
    { ...small, rope_scaling: { type: 'proportional', factor: 2 } },
    '"proportional" is not supported; "default", "linear", "dynamic", "yarn", "longrope" and "llama3" are',
  ],
  [
    'longrope without its numbers',
    { ...small, rope_scaling: { type: 'su', original_max_position_embeddings: 16 } },
    'rope_scaling must have short_factor and long_factor',
  ],
  [
    'longrope for other pairs',
    {
      ...small,
      rope_scaling: { type: 'longrope', original_max_position_embeddings: 16, short_factor: [1], long_factor: [1] },
    },
    'short_factor has 1 entries for',
  ],
  ['rope without its numbers', { ...small, rope_scaling: { rope_type: 'llama3' } }, 'rope_scaling.factor must be'],
  ['two ropes', { ...llama32, rope_parameters: { rope_type: 'default' } }, 'rope_scaling and rope_parameters differ'],
  [
    'two thetas',
    { ...small, rope_theta: 1e4, rope_parameters: { rope_theta: 1e5 } },
    'rope_theta 10000 and rope_parameters.rope_theta 100000 differ',
  ],
  [
    'a part of the head',
    { ...small, rope_parameters: { partial_rotary_factor: 0.5 } },
    'partial_rotary_factor 0.5 is not supported',
  ],
  ['quantised weights', { ...small, quantization_config: { quant_method: 'gptq' } }, 'quantization_config: '],
  ['gpt2 heads', { ...gpt2, n_head: 7 }, 'n_embd 768 is not a multiple of n_head 7'],
  ['gpt2 beside an encoder', { ...gpt2, add_cross_attention: true }, 'add_cross_attention: '],
  ['gpt2 activation', { ...gpt2, activation_function: 'toString' }, 'activation_function: '],
];

test.each(bad)('%s: one clear error', async (_, json, want) => {
  const message = await messageOf('bad-config', () => parseConfig(json, '/m/config.json'));
  expect(message).toContain(want);
  expect(message).toMatch(
    /^\/m\/config\.json: (is not a sound (llama|gpt2) config|asks for what no (llama|gpt2) does here):/,
  );
});

test.each<[string, Record<string, unknown>]>([
  ['a class of another family', { architectures: ['MistralForCausalLM'] }],
  ['one of several classes', { architectures: ['LlamaForCausalLM', 'GemmaModel'] }],
  ['a window', { sliding_window: 512 }],
  ['layers of other kinds', { layer_types: ['full_attention', 'sliding_attention'] }],
  ['tokens that see later ones', { is_causal: false }],
  ['caps', { final_logit_softcapping: 30 }],
  ['multipliers', { embedding_multiplier: 12 }],
  ['layers without rope', { no_rope_layers: [1, 1, 1, 0] }],
  ['experts', { num_local_experts: 8 }],
  ['a part of the head', { partial_rotary_factor: 0.5 }],
])('%s: a sound config whose model would compute something else is refused', async (_, change) => {
  const message = await messageOf('bad-config', () => parseConfig({ ...small, ...change }));
  expect(message).toContain(`${Object.keys(change)[0]}: `);
  expect(message).toContain('choose a model without this');
  expect(message).not.toContain('download');
});

test.each<[string, object, string]>([
  ['a kind of layer', { layer_types: ['full_attention', 'chunked_attention'] }, '"chunked_attention" is not supported'],
  ['kinds of fewer layers', { layer_types: ['full_attention'] }, 'layer_types has 1 entries for 2 layers'],
  [
    'layers with a window that is not in use',
    { layer_types: ['full_attention', 'sliding_attention'] },
    'layer_types: sliding_attention without a sliding_window in use is not supported',
  ],
  ['a window of no tokens', { use_sliding_window: true, sliding_window: 0 }, 'sliding_window: '],
])('%s is refused by name', async (_, change, want) => {
  const message = await messageOf('bad-config', () => parseConfig({ ...small, model_type: 'qwen2', ...change }));
  expect(message).toContain(want);
});

const opt = {
  model_type: 'opt',
  vocab_size: 32,
  hidden_size: 15,
  num_attention_heads: 3,
  ffn_dim: 20,
  pad_token_id: 1,
};

test.each<[string, object, string]>([
  ['norms without weights', { layer_norm_elementwise_affine: false }, 'layer_norm_elementwise_affine: false is not'],
  ['heads', { num_attention_heads: 4 }, 'hidden_size 15 is not a multiple of num_attention_heads 4'],
])('%s of an OPT are refused by name', async (_, change, want) => {
  expect(await messageOf('bad-config', () => parseConfig({ ...opt, ...change }))).toContain(want);
});

test('fields of a Llama, which their classes do not read, change nothing in an OPT and a BLOOM', async () => {
  const foreign = { num_key_value_heads: 1, head_dim: 7, rope_scaling: { type: 'linear', factor: 2 }, rms_norm_eps: 1 };
  const small = { ...opt, word_embed_proj_dim: 15 };
  expect(await parseConfig({ ...small, ...foreign })).toEqual(await parseConfig(opt));
  const bloom = { model_type: 'bloom', vocab_size: 32, n_embed: 12, n_layer: 2, num_attention_heads: 3 };
  const read = await parseConfig(bloom);
  expect(read).toMatchObject({
    hiddenSize: 12,
    heads: 3,
    intermediateSize: 48,
    maxPositions: Number.POSITIVE_INFINITY,
  });
  const others = { ...foreign, hidden_size: 99, hidden_act: 'relu', max_position_embeddings: 4 };
  expect(await parseConfig({ ...bloom, ...others })).toEqual(read);
});

test.each<[string, object, object]>([
  ['one for all queries', {}, { keyValueHeads: 1, maxPositions: 2048 }],
  ['one for each', { multi_query: false, num_kv_heads: 2 }, { keyValueHeads: 6 }],
  ['one for some', { new_decoder_architecture: true, num_kv_heads: 2 }, { keyValueHeads: 2 }],
  ['ALiBi', { alibi: true }, { maxPositions: Number.POSITIVE_INFINITY }],
])('heads of keys of a Falcon: %s', async (_, change, want) => {
  const falcon = {
    model_type: 'falcon',
    vocab_size: 32,
    hidden_size: 24,
    num_attention_heads: 6,
    num_hidden_layers: 2,
  };
  expect(await parseConfig({ ...falcon, ...change })).toMatchObject({ headDim: 4, intermediateSize: 96, ...want });
});

test('every family is found by the name that it is asked for by', async () => {
  const names = allFamilies().map(({ modelType }) => modelType);
  expect([...modelTypes()].sort()).toEqual([...names].sort());
  const opened = await Promise.all(names.map((name) => openFamily(name)));
  expect(opened).toEqual(allFamilies());
  expect(await openFamily('constructor')).toBeNull();
});

test('a gpt-oss that says nothing of its positions and experts has those of its class', async () => {
  const { hidden_size, num_attention_heads, num_hidden_layers, vocab_size } = small;
  const said = {
    model_type: 'gpt_oss',
    vocab_size,
    hidden_size,
    num_attention_heads,
    num_hidden_layers,
    num_experts: 6,
    num_key_value_heads: 2,
  };
  expect(await parseConfig(said)).toMatchObject({
    attentionBias: true,
    headDim: 64,
    ropeTheta: 150_000,
    ropeScaling: { kind: 'yarn', factor: 32, originalMaxPositions: 4096, truncate: false },
    fields: { numLocalExperts: 6, numExpertsPerTok: 4, swigluAlpha: 1.702, swigluLimit: 7, slidingWindow: 128 },
  });
});

test('settings that change nothing are taken', async () => {
  const neutral = {
    sliding_window: 4096,
    use_sliding_window: false,
    layer_types: ['full_attention', 'full_attention'],
    is_causal: true,
    final_logit_softcapping: null,
    embedding_multiplier: 1,
    partial_rotary_factor: 1,
    no_rope_layers: [1, 1],
  };
  expect((await parseConfig({ ...small, ...neutral })).hiddenSize).toBe(16);
  expect((await parseConfig({ ...small, max_position_embeddings: 2048, sliding_window: 4096 })).hiddenSize).toBe(16);
  for (const name of ['LlamaModel', 'LlamaForSequenceClassification', 'LLaMAForCausalLM'])
    expect((await parseConfig({ ...small, architectures: [name] })).architectures).toEqual([name]);
});

test('all contradictions, and all wrong fields, come in one error', async () => {
  const contradictions = {
    ...small,
    num_attention_heads: 3,
    num_key_value_heads: 2,
    bos_token_id: 99,
    rope_scaling: { type: 'linear' },
  };
  expect((await messageOf('bad-config', () => parseConfig(contradictions))).match(/\n {2}- /g)).toHaveLength(4);
  const fields = { ...small, hidden_size: -1, vocab_size: 'x', rms_norm_eps: 0, quantization_config: {} };
  expect((await messageOf('bad-config', () => parseConfig(fields))).match(/\n {2}- /g)).toHaveLength(4);
});

/** As `google-bert/bert-base-uncased` has it. */
const bert = {
  architectures: ['BertForMaskedLM'],
  attention_probs_dropout_prob: 0.1,
  hidden_act: 'gelu',
  hidden_size: 768,
  intermediate_size: 3072,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 512,
  model_type: 'bert',
  num_attention_heads: 12,
  num_hidden_layers: 12,
  pad_token_id: 0,
  position_embedding_type: 'absolute',
  type_vocab_size: 2,
  vocab_size: 30522,
};

/** As `google/flan-t5-small` has it. */
const t5 = {
  architectures: ['T5ForConditionalGeneration'],
  d_ff: 1024,
  d_kv: 64,
  d_model: 512,
  decoder_start_token_id: 0,
  eos_token_id: 1,
  feed_forward_proj: 'gated-gelu',
  is_encoder_decoder: true,
  layer_norm_epsilon: 1e-6,
  model_type: 't5',
  num_decoder_layers: 8,
  num_heads: 6,
  num_layers: 8,
  pad_token_id: 0,
  relative_attention_max_distance: 128,
  relative_attention_num_buckets: 32,
  tie_word_embeddings: false,
  vocab_size: 32128,
};

/** As `google/mt5-small` has it. */
const mt5 = {
  architectures: ['MT5ForConditionalGeneration'],
  d_ff: 1024,
  d_kv: 64,
  d_model: 512,
  decoder_start_token_id: 0,
  dropout_rate: 0.1,
  eos_token_id: 1,
  feed_forward_proj: 'gated-gelu',
  initializer_factor: 1.0,
  is_encoder_decoder: true,
  layer_norm_epsilon: 1e-6,
  model_type: 'mt5',
  num_decoder_layers: 8,
  num_heads: 6,
  num_layers: 8,
  pad_token_id: 0,
  relative_attention_num_buckets: 32,
  tie_word_embeddings: false,
  tokenizer_class: 'T5Tokenizer',
  use_cache: true,
  vocab_size: 250112,
};

test('of mT5 no head is scaled, whatever is said of its ties, and UMT5 is none, as its layers each have a table of positions', async () => {
  const { tie_word_embeddings: _, ...unsaid } = mt5;
  for (const json of [mt5, unsaid, { model_type: 'mt5' }])
    expect(await parseConfig(json)).toMatchObject({
      scaledHead: false,
      gated: true,
      activation: 'gelu-tanh',
      decoderStartId: 0,
    });
  const umt5 = { ...mt5, model_type: 'umt5', architectures: ['UMT5ForConditionalGeneration'] };
  expect(await parseConfig(umt5)).toMatchObject({ modelType: 'umt5', scaledHead: false, layers: 8 });
  const wrong = { ...umt5, model_type: 'mt5' };
  expect(await messageOf('bad-config', () => parseConfig(wrong))).toContain('UMT5ForConditionalGeneration');
});

test.each([
  ['mt5', mt5, { vocabSize: 250112, intermediateSize: 1024, heads: 6, layers: 8, tieWordEmbeddings: false }],
  ['bert', bert, { hiddenSize: 768, headDim: 64, tokenTypes: 2, maxPositions: 512, activation: 'gelu' }],
  ['t5', t5, { hiddenSize: 512, headDim: 64, layers: 8, encoderLayers: 8, buckets: 32, activation: 'gelu-tanh' }],
])('%s of the hub is read', async (_, json, wanted) => {
  expect(await parseConfig(json)).toMatchObject(wanted);
});

test('anything at all is a config or our error', async () => {
  const value = fc.oneof(fc.jsonValue(), fc.integer(), fc.double());
  const mutation = fc.dictionary(
    fc.constantFrom(...[llama32, gpt2, bert, t5].flatMap((json) => Object.keys(json)), 'rope_parameters'),
    value,
    { maxKeys: 3 },
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(llama32, small, gpt2, bert, t5), mutation, async (base, change) => {
      try {
        const config = await parseConfig({ ...base, ...change });
        return (
          Number.isInteger(config.hiddenSize) &&
          config.hiddenSize > 0 &&
          // What a family has of its own are sizes, switches and numbers that are there.
          Object.values(config).every((v) => !Number.isNaN(v) && v !== undefined) &&
          config.eosIds.every((id) => id < config.vocabSize)
        );
      } catch (error) {
        return isPeftError(error);
      }
    }),
    { numRuns: 4_000 },
  );
});

test.each([bert, t5])('a wrong field of $model_type alone is refused by its name', async (json) => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(
        ...Object.keys(json).filter((key) => /^(d_|num_|hidden_size|intermediate|type_|layer_norm)/.test(key)),
      ),
      fc.constantFrom(-1, 0, 1.5, 'x', [], {}, Number.NaN, true),
      async (field, value) => {
        const isEps = field.startsWith('layer_norm') && value === 1.5;
        if (isEps) return;
        expect(await messageOf('bad-config', () => parseConfig({ ...json, [field]: value }))).toContain(field);
      },
    ),
    { numRuns: 300 },
  );
});

test('a folder is read, and a bad file is told by its path', async () => {
  const dir = await scratch();
  const path = join(dir, 'config.json');
  expect(await messageOf('file-missing', () => loadConfig(dir))).toContain(path);
  await writeFile(path, JSON.stringify(small));
  expect((await loadConfig(dir)).hiddenSize).toBe(16);
  for (const [text, want] of [
    ['', 'not JSON'],
    ['{"model_type": "llama", "x": NaN}', 'not JSON'],
    ['[1]', 'holds a list'],
    ['{"a":1,"a":2}', 'occur twice'],
  ]) {
    await writeFile(path, text!);
    expect(await messageOf('bad-config', () => loadConfig(dir))).toContain(want);
  }
});

test('generation settings are optional and checked', async () => {
  const dir = await scratch();
  const path = join(dir, 'generation_config.json');
  expect(await loadGenerationConfig(dir)).toBeNull();
  await writeFile(
    path,
    JSON.stringify({
      bos_token_id: 1,
      eos_token_id: 2,
      do_sample: true,
      temperature: 0.6,
      top_p: 0.9,
      transformers_version: '4.45.0',
    }),
  );
  expect(await loadGenerationConfig(dir)).toEqual({
    sample: true,
    temperature: 0.6,
    topK: undefined,
    topP: 0.9,
    unsupported: [],
    bosId: 1,
    eosIds: [2],
    padId: null,
  });
  const odd = {
    num_beams: 4,
    suppress_tokens: [3],
    bad_words_ids: [[1, 2]],
    stop_strings: 'x',
    guidance_scale: 1,
    length_penalty: 2,
    min_length: 5,
    forced_bos_token_id: 0,
    forced_eos_token_id: 2,
    early_stopping: 'never',
    decoder_start_token_id: 7,
    num_beam_groups: 2,
  };
  await writeFile(path, JSON.stringify(odd));
  expect(await loadGenerationConfig(dir)).toMatchObject({
    badWords: [[1, 2], [3]],
    stopTexts: ['x'],
    beams: 4,
    lengthPenalty: 2,
    minLength: 5,
    firstToken: 0,
    lastTokens: [2],
    earlyStopping: 'never',
    decoderStartId: 7,
    unsupported: ['num_beam_groups 2'],
  });
  await writeFile(path, JSON.stringify({ do_sample: true, num_beams: 2 }));
  expect(await loadGenerationConfig(dir)).toMatchObject({ unsupported: ['do_sample with num_beams 2'] });
  await writeFile(path, JSON.stringify({ top_p: 2, temperature: -1 }));
  expect((await messageOf('bad-config', () => loadGenerationConfig(dir))).match(/\n {2}- /g)).toHaveLength(2);
  await mkdir(join(dir, 'sub', 'generation_config.json'), { recursive: true });
  expect(await loadGenerationConfig(join(dir, 'sub'))).toBeNull();
});

test('is read from files of any kind', async () => {
  const files = memoryFiles();
  await files.write(
    new Map([
      ['config.json', JSON.stringify({ ...small, id2label: { 0: 'no', 1: 'yes' } })],
      ['generation_config.json', '{"eos_token_id": 262}'],
    ]),
  );
  expect(await loadConfig(files)).toMatchObject({ modelType: 'llama', labels: ['no', 'yes'] });
  expect(await loadGenerationConfig(files)).toMatchObject({ eosIds: [262] });
});

test('labels that are not numbered from 0 are told', async () => {
  const message = await messageOf('bad-config', () => parseConfig({ ...small, id2label: { 0: 'no', 2: 'yes' } }));
  expect(message).toContain('id2label: its 2 keys must be 0 to 1');
});

test('YaRN is scaled as its paper says unless the file says how', async () => {
  const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 16 };
  const scalingOf = async (more: object): Promise<unknown> =>
    ((await parseConfig({ ...small, rope_scaling: { ...yarn, ...more } })) as DecoderConfig).ropeScaling;
  const usual = { kind: 'yarn', factor: 4, originalMaxPositions: 16, betaFast: 32, betaSlow: 1, truncate: true };
  expect(await scalingOf({})).toEqual({ ...usual, attentionFactor: 0.1 * Math.log(4) + 1 });
  expect(await scalingOf({ attention_factor: 0.7, truncate: false, beta_fast: 8 })).toEqual({
    ...usual,
    attentionFactor: 0.7,
    truncate: false,
    betaFast: 8,
  });
  expect(await scalingOf({ mscale: 1, mscale_all_dim: 1 })).toEqual({ ...usual, attentionFactor: 1 });
});

test.each<[string, object, string]>([
  [
    'a kind of rope by kind of layer',
    { rope_parameters: { full_attention: {} } },
    'by kind of layer (full_attention) is not',
  ],
  ['YaRN without its factor', { rope_scaling: { type: 'yarn' } }, 'rope_scaling.factor must be'],
  [
    'a ramp the wrong way',
    { rope_scaling: { type: 'yarn', factor: 2, beta_fast: 1, beta_slow: 2 } },
    'beta_slow must be',
  ],
  [
    'two lengths of pretraining',
    {
      original_max_position_embeddings: 8,
      rope_scaling: { type: 'yarn', factor: 2, original_max_position_embeddings: 9 },
    },
    'original_max_position_embeddings 8 and rope_scaling.original_max_position_embeddings 9 differ',
  ],
])('%s is told by name', async (_, change, want) => {
  expect(await messageOf('bad-config', () => parseConfig({ ...small, ...change }))).toContain(want);
});

test('two rotary embeddings come by kind of layer, or as older files have them', async () => {
  const gemma3 = { ...small, model_type: 'gemma3_text', hidden_act: undefined };
  const ropes = async (more: object): Promise<unknown> => {
    const { ropeTheta, ropeScaling, localRope } = (await parseConfig({ ...gemma3, ...more })) as DecoderConfig;
    return { ropeTheta, ropeScaling, localRope };
  };
  const wanted = {
    ropeTheta: 500,
    ropeScaling: { kind: 'linear', factor: 8 },
    localRope: { ropeTheta: 50, ropeScaling: null },
  };
  const linear = { rope_type: 'linear', factor: 8 };
  expect(await ropes({ rope_theta: 500, rope_scaling: linear, rope_local_base_freq: 50 })).toEqual(wanted);
  const rope_parameters = {
    full_attention: { ...linear, rope_theta: 500 },
    sliding_attention: { rope_type: 'default', rope_theta: 50 },
  };
  expect(await ropes({ rope_parameters })).toEqual(wanted);
  expect(await ropes({})).toEqual({
    ropeTheta: 1e6,
    ropeScaling: null,
    localRope: { ropeTheta: 1e4, ropeScaling: null },
  });
  expect(await messageOf('bad-config', () => parseConfig({ ...gemma3, rope_parameters: { rope_theta: 5 } }))).toContain(
    'rope_parameters must hold those of full_attention and of sliding_attention',
  );
});

test('positions at which a dynamic rope would change are refused', async () => {
  const config = (await parseConfig({
    ...small,
    max_position_embeddings: 8,
    rope_scaling: { type: 'dynamic', factor: 2 },
  })) as DecoderConfig;
  expect(ropeTable(config, 4, 0, 8).cos.shape).toEqual([8, 2]);
  expect(() => ropeTable(config, 4, 1, 8)).toThrow('got 9 positions; its rope of type dynamic is another');
});
