import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { adapterHubTask, attach, load, loadHead, save, saveHead } from '@peftjs/core';
import { isObject, memoryFiles, readAdapter } from '@peftjs/io';
import { adapterHubLora } from '@peftjs/lora';
import { adapterHubPrefixTuning } from '@peftjs/prompts';
import { reference } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import {
  imageText,
  loadModel,
  questionAnswering,
  seq2seqLM,
  sequenceClassifier,
  stackedHead,
  type Task,
  tokenClassifier,
} from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { familyAdapter, familyGoldens, familyModel, familyWritten } from '../src/families.ts';
import { hubHeads } from '../src/hub-heads.ts';

const headOf = (name: string, adapter: string): string => join(familyAdapter(name, adapter), '../head');

/** All that tells one task from another, but for its functions. */
const saidOf = ({ name, head, labels, predicts, stack, choices }: Task<unknown>): object => ({
  name,
  head,
  labels,
  predicts,
  stack,
  choices,
});

const heads = hubHeads.filter(({ name }) => name !== 't5' && name !== 'clip-pairs');

describe.each(heads)('the head beside $adapter on $name', ({ name, adapter, task }) => {
  test('tells its task, and is the same alone', async () => {
    const wanted = task ?? familyGoldens.find((golden) => golden.name === name)!.task;
    const found = await adapterHubTask(familyAdapter(name, adapter));
    expect(saidOf(found)).toEqual(saidOf(wanted));
    const base = await loadModel(familyModel(name), { task: found });
    const beside = await loadHead(base, familyAdapter(name, adapter));
    expect([...beside.params.keys()].every((path) => base.trainedHeads.some((own) => path.startsWith(own)))).toBe(true);
    if (!task) return;
    const executor = reference();
    const alone = await loadHead(base, headOf(name, adapter));
    const ours = await loadHead(base, join(familyWritten(name, adapter), 'head'));
    expect([...ours.params.keys()]).toEqual([...alone.params.keys()]);
    for (const [path, v] of alone.params)
      expect(await executor.read(v), path).toEqual(await executor.read(beside.params.get(path)!));
  });
});

const executor = reference();
const bert = familyModel('bert-sequence');
const stacked = stackedHead(sequenceClassifier({ labels: 3 }));
const text = async (): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(headOf('bert-sequence', 'hub-stack'), 'head_config.json'), 'utf8'));
const weights = (): Promise<Uint8Array> =>
  readFile(join(headOf('bert-sequence', 'hub-stack'), 'pytorch_model_head.bin'));

/** The head of a golden with other fields in its `config`, or beside it. */
const filesWith = async (
  config: Readonly<Record<string, unknown>>,
  top: Readonly<Record<string, unknown>> = {},
  bytes?: Uint8Array,
): Promise<ReturnType<typeof memoryFiles>> => {
  const json = await text();
  const inner = isObject(json['config']) ? json['config'] : {};
  return memoryFiles(
    new Map<string, string | Uint8Array>([
      ['head_config.json', JSON.stringify({ ...json, config: { ...inner, ...config }, ...top })],
      ['pytorch_model_head.bin', bytes ?? (await weights())],
    ]),
  );
};

test.each<[message: RegExp, config: Record<string, unknown>, top?: Record<string, unknown>]>([
  [/label2id names 2 classes, and num_labels is 3/, { label2id: { ham: 0, spam: 1 } }],
  [/label2id is .*numbers from 0 on are wanted/, { label2id: { ham: 0, spam: 1, eggs: 5 } }],
  [/head_type "poem" is not known here; there are classification/, { head_type: 'poem' }],
  [/head_type masked_lm is a head over the vocabulary/, { head_type: 'masked_lm' }],
  [/head_type dependency_parsing is a biaffine parser/, { head_type: 'dependency_parsing' }],
  [/head_type seq2seq_lm is the head that the model itself has/, { head_type: 'seq2seq_lm' }],
  [/has no field depth that is known here/, { depth: 3 }],
  [/activation_function "mish" is not computed here/, { activation_function: 'mish' }],
  [/layers is "2", not a count/, { layers: '2' }],
  [/layers must be a whole number from 1 to 64/, { layers: 1_000_000 }],
  [/use_pooler is 1, not true or false/, { use_pooler: 1 }],
  [/dropout must be null or a number/, { dropout_prob: 'much' }],
  [/model_class is missing/, {}, { model_class: null }],
  [/fields that are not known here: twist/, {}, { twist: 1 }],
  [/name is .*, not the name of a head/, {}, { name: '../x' }],
  [/is not a tensor of the head other/, {}, { name: 'other' }],
])('a bad head is refused: %s', async (message, config, top) => {
  await expect(adapterHubTask(await filesWith(config, top))).rejects.toMatchObject({
    code: 'bad-adapter',
    message: expect.stringMatching(message) as string,
  });
});

test.each<[message: RegExp, config: Record<string, unknown>, top?: Record<string, unknown>]>([
  [
    /is the head of a RobertaAdapterModel, and the model is a BertAdapterModel/,
    {},
    { model_class: 'RobertaAdapterModel' },
  ],
  [/hidden_size is 8, and the model's is/, {}, { hidden_size: 8 }],
  [/model_type is t5, and the model's is bert/, {}, { model_type: 't5' }],
  [/layers is 3, and the model's head has 2/, { layers: 3 }],
  [/activation_function is "relu", and the model's head has "tanh"/, { activation_function: 'relu' }],
  [/use_pooler is true, and the model's head has false/, { use_pooler: true }],
  [/head_type is "multilabel_classification"/, { head_type: 'multilabel_classification' }],
  [/num_labels is 2, and the model's head has 3/, { num_labels: 2, label2id: null }],
])('a head of another form than the model is refused: %s', async (message, config, top) => {
  const base = await loadModel(bert, { task: stacked });
  await expect(loadHead(base, await filesWith(config, top))).rejects.toThrow(message);
});

test('tensors of another shape, other classes and a pickle that calls something are refused', async () => {
  const wide = await loadModel(bert, { task: stackedHead(sequenceClassifier({ labels: 4 })) });
  const four = { num_labels: 4, label2id: null };
  await expect(loadHead(wide, await filesWith(four))).rejects.toMatchObject({
    code: 'state-mismatch',
    message: expect.stringMatching(/heads\.default\.4\.weight is \[3,\d+\], the model takes \[4,\d+\]/) as string,
  });
  const other = await loadModel(bert, { task: stackedHead(sequenceClassifier({ labels: ['a', 'b', 'c'] })) });
  await expect(loadHead(other, await filesWith({}))).rejects.toThrow(
    /its classes are ham, spam, eggs, and the model's are a, b, c/,
  );
  const evil = Buffer.from(
    Buffer.from(await weights())
      .toString('latin1')
      .replace('torch._utils\n_rebuild_tensor_v2', 'builtins\nexec\n(Vimport os; 0##'),
    'latin1',
  );
  await expect(adapterHubTask(await filesWith({}, {}, evil))).rejects.toMatchObject({ code: 'bad-torch' });
});

test('a head that is missing, left over or of another task is told of', async () => {
  const lora = familyAdapter('bert-sequence', 'hub-lora');
  const [headless, task] = [familyAdapter('t5', 'hub-prefix-tuning'), sequenceClassifier({ labels: 3 })];
  const fresh = await loadModel(familyModel('t5-sequence'), { task, newHead: true });
  await expect(load(fresh, headless, [adapterHubPrefixTuning])).rejects.toThrow(
    /has no head \(head_config\.json\), and that of the model, a T5ForSequenceClassification, is new/,
  );
  const own = await load(await loadModel(familyModel('t5-sequence'), { task }), headless, [adapterHubPrefixTuning]);
  expect([...own.params.keys()].filter((name) => !name.includes('prefix_tuning'))).toEqual([]);
  await expect(load(await loadModel(bert, { task: stacked }), lora, [adapterHubLora])).rejects.toThrow(
    /is the head of a BertForSequenceClassification, and the model is a BertAdapterModel/,
  );
  await expect(
    load(await loadModel(bert, { task: tokenClassifier({ labels: 3 }) }), lora, [adapterHubLora]),
  ).rejects.toThrow(/and the model is a BertForTokenClassification/);
  await expect(readAdapter(headOf('bert-sequence', 'hub-stack'))).rejects.toThrow(
    /holds a head alone \(head_config\.json\); read it with loadHead/,
  );
  await expect(adapterHubTask(familyAdapter('t5', 'hub-prefix-tuning'))).rejects.toThrow(
    /there is no head of the adapters library/,
  );
});

test('what the library has no words for is not written', async () => {
  const numbers = attach(
    await loadModel(bert, { task: stackedHead(sequenceClassifier({ labels: 2, problem: 'regression' })) }),
    [],
  );
  await expect(saveHead(numbers, memoryFiles(), { executor })).rejects.toThrow(
    /one output for a number and one with more for classes; here are 2 outputs for numbers/,
  );
  const pairs = attach(await loadModel(familyModel('clip-pairs'), { task: imageText() }), [
    adapterHubLora({ rank: 2 }),
  ]);
  await expect(saveHead(pairs, memoryFiles(), { executor })).rejects.toThrow(/the task of a CLIPModel trains no head/);
  const alone = attach(await loadModel(bert, { task: stacked }), [adapterHubLora({ rank: 2 })]);
  const files = memoryFiles();
  await save(alone, files, { executor });
  await expect(saveHead(alone, files, { executor })).rejects.toThrow(/holds an adapter, whose files tell of its head/);
  const bare = attach(await loadModel(familyModel('t5'), { task: seq2seqLM() }), [
    adapterHubPrefixTuning({ length: 2, bottleneck: 3 }),
  ]);
  await expect(save(bare, files, { executor })).rejects.toThrow(
    /there is a head of another adapter: head_config\.json/,
  );
});

test.each<[message: RegExp, make: () => unknown]>([
  [/stackedHead: is for .*, not for imageText/, () => stackedHead(imageText())],
  [
    /pooler is for heads that read one row, and questionAnswering reads all/,
    () => stackedHead(questionAnswering(), { pooler: true }),
  ],
  [
    /bias: false is for classes of texts and pictures, and tokenClassifier has one/,
    () => stackedHead(tokenClassifier({ labels: 2 }), { bias: false }),
  ],
  [/there is no option depth/, () => stackedHead(questionAnswering(), { depth: 2 } as object)],
])('a stack that no class has is refused: %s', (message, make) => {
  expect(make).toThrow(message);
});

test('a model whose class has no such head says so', async () => {
  const of = (name: string, task: Task<never>): Promise<unknown> => loadModel(familyModel(name), { task });
  const pooled = stackedHead(sequenceClassifier({ labels: 3 }), { pooler: true }) as Task<never>;
  await expect(of('bart-sequence', pooled)).rejects.toThrow(/BartAdapterModel has no pooler \(use_pooler\)/);
  await expect(of('bart-sequence', stackedHead(tokenClassifier({ labels: 3 })) as Task<never>)).rejects.toThrow(
    /BartAdapterModel has no stacked head for tokenClassifier; it has them for sequenceClassifier, questionAnswering/,
  );
  await expect(of('mt5-sequence', stacked as Task<never>)).rejects.toThrow(
    /stacked heads of the adapters library are not known here for mt5/,
  );
});

test('a head alone is trained and saved by itself', async () => {
  const base = await loadModel(bert, { task: stacked });
  const files = memoryFiles();
  const fresh = attach(base, []);
  await saveHead(fresh, files, { executor });
  const again = await loadHead(base, files);
  for (const [path, v] of fresh.params)
    expect(
      distance(
        (await executor.read(again.params.get(path)!)) as Float32Array,
        (await executor.read(v)) as Float32Array,
      ),
    ).toBe(0);
});
