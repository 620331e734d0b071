import { encodeSafetensors, type FileContent, type Files, memoryFiles, type WriteTensor, writable } from '@peftjs/io';
import { constant, reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import { openFamily } from '../src/families/on-demand.ts';
import {
  buildModel,
  configText,
  loadModel,
  maskedLM,
  modelTensors,
  parseConfig,
  seq2seqLM,
  sequenceClassifier,
  tokenClassifier,
} from '../src/index.ts';
import { type Places, tableRows } from '../src/position-rows.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyWeights } from './tiny.ts';

const sizes = {
  vocab_size: 13,
  hidden_size: 8,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 10,
  max_position_embeddings: 16,
  bos_token_id: 0,
  eos_token_id: 2,
};
const distil = { dim: 8, n_layers: 2, n_heads: 2, hidden_dim: 10, vocab_size: 13, max_position_embeddings: 16 };

const barts = {
  d_model: 8,
  encoder_layers: 1,
  decoder_layers: 2,
  encoder_attention_heads: 2,
  decoder_attention_heads: 4,
  encoder_ffn_dim: 10,
  decoder_ffn_dim: 6,
  vocab_size: 13,
  max_position_embeddings: 16,
};

/** The module of a kind's classes that holds its towers, the pooler of its plain class, and a config. */
interface Kind {
  readonly prefix: string;
  readonly pooler: string | null;
  readonly fields: object;
}

const kinds: Readonly<Record<string, Kind>> = {
  bert: { prefix: 'bert.', pooler: 'pooler.dense', fields: sizes },
  roberta: { prefix: 'roberta.', pooler: 'pooler.dense', fields: { ...sizes, type_vocab_size: 1 } },
  'xlm-roberta': { prefix: 'roberta.', pooler: 'pooler.dense', fields: { ...sizes, type_vocab_size: 1 } },
  distilbert: { prefix: 'distilbert.', pooler: null, fields: distil },
  electra: { prefix: 'electra.', pooler: null, fields: { ...sizes, embedding_size: 6 } },
  albert: { prefix: 'albert.', pooler: 'pooler', fields: { ...sizes, embedding_size: 6 } },
  mpnet: { prefix: 'mpnet.', pooler: 'pooler.dense', fields: sizes },
  'deberta-v2': {
    prefix: 'deberta.',
    pooler: null,
    fields: { ...sizes, relative_attention: true, position_buckets: 4 },
  },
};

/** A checkpoint of the towers alone, whose names have no prefix, as those of `AutoModel` are. */
const baseFiles = async (json: object, { prefix, pooler }: Kind): Promise<Files> => {
  const model = buildModel(await parseConfig(json), tinyWeights(), maskedLM());
  const own = [...modelTensors('test', model, reference())].filter(([name]) => name.startsWith(prefix));
  const entry = (name: string, shape: readonly number[], data: () => Promise<Float32Array>): [string, WriteTensor] => [
    name,
    { dtype: 'F32', shape, data },
  ];
  const entries = own.map(([name, { shape, values }]) => entry(name.slice(prefix.length), shape, values));
  if (pooler) {
    entries.push(entry(`${pooler}.weight`, [8, 8], async () => new Float32Array(64).fill(0.1)));
    entries.push(entry(`${pooler}.bias`, [8], async () => new Float32Array(8)));
  }
  const files = memoryFiles();
  await writable(files).write(
    new Map<string, FileContent>([
      ['model.safetensors', encodeSafetensors('base', new Map(entries))],
      ['config.json', configText({ ...json })],
    ]),
  );
  return files;
};

const ids = tokens([3, 4, 5, 6], [7, 8, 9, 1]);

describe.each(Object.entries(kinds))('%s without a head and a prefix', (model_type, kind) => {
  const json = { model_type, ...kind.fields };
  const built = async (): Promise<number[]> => {
    const model = buildModel(await parseConfig(json), tinyWeights(), maskedLM());
    return valuesOf(model.states({ ids }).main);
  };

  test('gets a new head for tokens, over the same states', async () => {
    const model = await loadModel(await baseFiles(json, kind), { task: tokenClassifier({ labels: 2 }) });
    expect(model.trainedHeads).toEqual(['classifier']);
    expect(distance(await valuesOf(model.states({ ids }).main), await built())).toBe(0);
    expect((await valuesOf(model.outputs({ ids }))).length).toBe(2 * 4 * 2);
  });

  test('gets all that a head for texts needs and the file has not', async () => {
    const files = await baseFiles(json, kind);
    const model = await loadModel(files, { task: sequenceClassifier({ labels: 3 }) });
    const logits = await valuesOf(model.outputs({ ids }));
    expect(logits.length).toBe(6);
    expect(distance(logits.slice(0, 3), logits.slice(3))).toBeGreaterThan(0);
    const again = await loadModel(files, { task: sequenceClassifier({ labels: 3 }) });
    expect(distance(await valuesOf(again.outputs({ ids })), logits)).toBe(0);
  });

  test('is refused for what was never learnt', async () => {
    const { heads } = (await openFamily(model_type))!;
    const message = async (architectures: readonly string[]): Promise<string> => {
      const files = await baseFiles({ ...json, architectures }, kind);
      return messageOf('state-mismatch', () => loadModel(files, { task: maskedLM() }));
    };
    expect(await message([])).toMatch(/ is missing.*Download the folder again/);
    const other = heads.sequenceClassifier!.modelClass;
    expect(await message([other])).toMatch(
      new RegExp(`holds a ${other}, which has not what maskedLM reads.* is missing`),
    );
  });
});

test.each([
  ['mpnet', { ...sizes, relative_attention_num_buckets: 16 }, /relative_attention_num_buckets: 16 is not supported/],
  ['roberta', { ...sizes, pad_token_id: null }, /pad_token_id: must be a token/],
  ['roberta', { ...sizes, max_position_embeddings: 2 }, /leaves no position after 2/],
  ['albert', { ...sizes, num_hidden_groups: 3 }, /not a multiple of num_hidden_groups 3/],
  ['albert', { ...sizes, inner_group_num: 2 }, /inner_group_num: 2 is not supported; 1 is\n.*may well be sound/],
  ['bert', { ...sizes, hidden_act: 'mish' }, /hidden_act: "mish" is not supported; "gelu_new", .* are\n/],
  ['distilbert', { ...distil, dim: 0 }, /- dim: /],
  ['deberta-v2', { ...sizes, conv_kernel_size: 4 }, /conv_kernel_size: 4 is not supported; odd ones are/],
  ['deberta-v2', { ...sizes, conv_kernel_size: 3, conv_groups: 2 }, /conv_groups: 2 is not supported; 1 is/],
  ['deberta-v2', { ...sizes, embedding_size: 4 }, /embedding_size: 4 is not supported/],
  ['deberta-v2', { ...sizes, pos_att_type: 'c2p|p2p' }, /pos_att_type: "p2p" is not supported/],
  ['deberta-v2', { ...sizes, position_buckets: 30 }, /max_relative_positions 16 is too small/],
  [
    'deberta-v2',
    { ...sizes, legacy: false, architectures: ['DebertaV2ForMaskedLM'] },
    /legacy: false is not supported/,
  ],
  ['modernbert', { ...sizes, rope_scaling: { type: 'linear', factor: 2 } }, /rope_scaling: .* is not supported/],
  ['modernbert', { ...sizes, num_attention_heads: 8 }, /head_dim 1 is odd/],
  ['modernbert', { ...sizes, layer_types: ['full_attention'] }, /layer_types has 1 entries for 2 layers/],
  ['modernbert', { ...sizes, layer_types: ['full_attention', 'x'] }, /layer_types/],
  ['bart', { ...barts, tie_word_embeddings: false }, /tie_word_embeddings: false is not supported; true is/],
  ['bart', { ...barts, normalize_before: true }, /normalize_before: true is not supported; false is/],
  ['mbart', { ...barts, decoder_attention_heads: 3 }, /not a multiple of decoder_attention_heads 3/],
  ['mbart', { ...barts, decoder_start_token_id: 13 }, /decoder_start_token_id 13 is not within/],
  ['electra', { ...sizes, type_vocab_size: 0 }, /type_vocab_size/],
  ['t5', { relative_attention_max_distance: 16 }, /relative_attention_max_distance: 16 is not supported/],
  ['bloom', { slow_but_exact: true, pretraining_tp: 2 }, /slow_but_exact: true is not supported/],
])('a config of %s that none of its kind has is refused by name', async (model_type, fields, message) => {
  expect(await messageOf('bad-config', () => parseConfig({ model_type, ...fields }))).toMatch(message);
});

test('the positions of RoBERTa are those that texts can take, and its layers are its own', async () => {
  const config = await parseConfig({ model_type: 'roberta', ...sizes, max_position_embeddings: 514 });
  expect(config).toMatchObject({ maxPositions: 512, padId: 1, tokenTypes: 2 });
});

const table = constant(
  Float32Array.from({ length: 12 }, (_, i) => i),
  [12, 1],
);
const places: Places = {
  batch: 2,
  tokens: 5,
  prepended: 0,
  shift: 0,
  present: null,
  mask: null,
  positions: null,
  limit: null,
  maxPositions: 10,
  continues: false,
};

describe('positions where one token takes none', () => {
  const padded = tokens([1, 1, 5, 6, 7], [5, 1, 6, 1, 1]);
  const rows = (more: Partial<Places>): Promise<number[]> =>
    valuesOf(tableRows(table, padded, { unplacedToken: 1 }, { ...places, ...more }));

  test('count the other tokens, from the row after its own', async () =>
    expect(await rows({})).toEqual([1, 1, 2, 3, 4, 2, 1, 3, 1, 1]));

  test('are moved by keys in front, its own is not', async () =>
    expect(await rows({ shift: 3 })).toEqual([1, 1, 5, 6, 7, 5, 1, 6, 1, 1]));

  test('are taken by all rows where some stand in front, as padding is not known there', async () =>
    expect(await rows({ prepended: 2 })).toEqual([2, 3, 4, 5, 6, 7, 8]));

  test('are those of each sequence where rows stand in front of some', async () => {
    const present = constant(Int32Array.of(1, 0), [2]);
    expect(await rows({ prepended: 2, present })).toEqual([2, 3, 4, 5, 6, 7, 8, 2, 3, 2, 1, 3, 1, 1]);
  });

  test('are refused where the table ends', async () =>
    expect(await messageOf('bad-option', () => rows({ shift: 6 }))).toMatch(/it has learned 10 in all/));
});

describe('positions where tokens that the mask hides take none', () => {
  const mask = constant(Float32Array.of(0, 0, 1, 1, 1, 1, 0, 1, 0, 0), [2, 5]);
  const rows = (more: Partial<Places>): Promise<number[]> =>
    valuesOf(
      tableRows(
        table,
        tokens([1, 1, 5, 6, 7], [5, 1, 6, 1, 1]),
        { firstPosition: 2, placesSeen: true },
        { ...places, mask, ...more },
      ),
    );

  test('count those that are seen', async () => {
    expect(await rows({})).toEqual([1, 1, 2, 3, 4, 2, 1, 3, 1, 1]);
    expect(await rows({ mask: null })).toEqual([2, 3, 4, 5, 6]);
    const slots = constant(Float32Array.of(0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 1), [2, 7]);
    expect(await rows({ mask: slots })).toEqual([1, 1, 2, 3, 4, 2, 1, 3, 1, 1]);
  });

  test('are those that are given, where they are', async () => {
    const positions = constant(Int32Array.of(0, 1, 0, 1, 2), [5]);
    expect(await rows({ positions })).toEqual([2, 3, 2, 3, 4]);
  });

  test('are moved by keys and rows in front, which take the first, where a sequence has them', async () => {
    expect(await rows({ shift: 3 })).toEqual([1, 1, 5, 6, 7, 5, 1, 6, 1, 1]);
    expect(await rows({ prepended: 2 })).toEqual([2, 3, 1, 1, 4, 5, 6, 2, 3, 4, 1, 5, 1, 1]);
    const present = constant(Int32Array.of(1, 0), [2]);
    expect(await rows({ prepended: 2, present })).toEqual([2, 3, 1, 1, 4, 5, 6, 2, 3, 2, 1, 3, 1, 1]);
  });

  test('are refused where the table ends', async () =>
    expect(await messageOf('bad-option', () => rows({ shift: 6 }))).toMatch(/it has learned 10 in all/));
});

describe('an encoder-decoder of BART with a bias of its logits', () => {
  const json = { model_type: 'bart', ...barts };
  const filesWith = async (bias: number): Promise<Files> => {
    const model = buildModel(await parseConfig(json), tinyWeights(), seq2seqLM());
    const entries = [...modelTensors('test', model, reference())].map(
      ([name, { shape, values }]): [string, WriteTensor] => [
        // As `AutoModel` names them.
        name.replace(/^model\./, ''),
        { dtype: 'F32', shape, data: values },
      ],
    );
    const values = new Float32Array(13).fill(bias);
    const files = memoryFiles();
    await writable(files).write(
      new Map<string, FileContent>([
        [
          'model.safetensors',
          encodeSafetensors(
            'base',
            new Map([...entries, ['final_logits_bias', { dtype: 'F32', shape: [1, 13], data: async () => values }]]),
          ),
        ],
        ['config.json', configText(json)],
      ]),
    );
    return files;
  };

  test('is read without a prefix where that is zero', async () => {
    const model = await loadModel(await filesWith(0), { task: seq2seqLM() });
    const built = buildModel(await parseConfig(json), tinyWeights(), seq2seqLM());
    const inputs = { ids, decoderIds: tokens([2, 3, 4], [2, 7, 1]) };
    expect(distance(await valuesOf(model.outputs(inputs)), await valuesOf(built.outputs(inputs)))).toBe(0);
  });

  test('is refused where it is not', async () => {
    const files = await filesWith(0.5);
    expect(await messageOf('bad-config', () => loadModel(files, { task: seq2seqLM() }))).toMatch(
      /final_logits_bias is not all zeros/,
    );
  });
});

test("a BART classifies by the state at a text's end: of a text without one it gives no number, of other lengths it says so", async () => {
  const config = await parseConfig({ model_type: 'bart', ...barts });
  const model = buildModel(config, tinyWeights(), sequenceClassifier({ labels: 2 }));
  const text = [3, 4, 5, 2];
  const [with_, without] = [text, text.map((id) => (id === 2 ? 6 : id))].map((row) =>
    model.outputs({ ids: tokens(row) }),
  );
  expect([...(await valuesOf(with_!))].every(Number.isFinite)).toBe(true);
  expect([...(await valuesOf(without!))].every(Number.isNaN)).toBe(true);
  const shifted = model.outputs({ ids: tokens(text), decoderIds: tokens([config.decoderStartId!, 3, 4, 5]) });
  expect(await valuesOf(with_!)).toEqual(await valuesOf(shifted));
  expect(() => model.outputs({ ids: tokens(text), decoderIds: tokens([2, 3]) })).toThrow(/as long as ids/);
});
