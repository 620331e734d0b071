import { attach, load, save } from '@peftjs/core';
import {
  type Batch,
  batch,
  columns,
  jsonl,
  pipe,
  type Row,
  repeat,
  type Stream,
  shiftRight,
  shuffle,
} from '@peftjs/data';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { constant, type Executor, evaluate, randomSource, reference, sizeOf, uniformValues } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { evaluateLoss, linear, type TrainOptions, train } from '@peftjs/trainer';
import {
  buildModel,
  type Inputs,
  loadModel,
  maskedLM,
  parseConfig,
  randomWeights,
  saveModel,
  seq2seqLM,
  sequenceClassifier,
  type Task,
  tokenClassifier,
} from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { executors } from './executors.ts';

const [vocabulary, hidden] = [13, 16];
const bert = {
  model_type: 'bert',
  vocab_size: vocabulary,
  hidden_size: hidden,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 24,
  max_position_embeddings: 16,
  initializer_range: 0.3,
};
const t5 = {
  model_type: 't5',
  vocab_size: vocabulary,
  d_model: hidden,
  d_kv: 8,
  d_ff: 24,
  num_layers: 2,
  num_heads: 2,
  decoder_start_token_id: 0,
};

/** Texts of unequal lengths, drawn from a number. */
const textOf = (i: number): number[] => Array.from({ length: 3 + (i % 4) }, (_, t) => 2 + ((i * 7 + t * t * 3) % 11));

/** A model's kind of use: its config, its task, what is to be learnt of a text, and how that becomes batches. */
interface Use {
  readonly config: object;
  readonly task: Task;
  readonly row: (text: readonly number[], i: number) => Readonly<Record<string, unknown>>;
  readonly labels: number;
  readonly shapes?: { readonly labels: readonly number[] };
}

const uses: Readonly<Record<string, Use>> = {
  sequenceClassifier: {
    config: bert,
    task: sequenceClassifier({ labels: ['even', 'odd'] }),
    labels: 2,
    shapes: { labels: [] },
    row: (ids) => ({ ids, tokenTypes: ids.map((_, t) => Number(t > 1)), labels: ids[0]! % 2 }),
  },
  tokenClassifier: {
    config: bert,
    task: tokenClassifier({ labels: 3 }),
    labels: 3,
    row: (ids) => ({ ids, tokenTypes: ids.map(() => 0), labels: ids.map((id, t) => (t === 0 ? -100 : id % 3)) }),
  },
  maskedLM: {
    config: bert,
    task: maskedLM(),
    labels: vocabulary,
    row: (text, i) => {
      const at = i % text.length;
      const ids = text.map((id, t) => (t === at ? 1 : id));
      return { ids, tokenTypes: ids.map(() => 0), labels: text.map((id, t) => (t === at ? id : -100)) };
    },
  },
  seq2seqLM: {
    config: t5,
    task: seq2seqLM(),
    labels: vocabulary,
    row: (ids) => ({ ids, labels: [...ids.slice(0, 2 + (ids.length % 3)).reverse(), 1] }),
  },
};

const modelOf = async ({ config, task }: Use) => {
  const parsed = await parseConfig(config);
  const drawn = randomWeights(parsed, 3, task);
  // Drawn matrices are small, as before any training; a model that knows something has larger ones.
  const load: typeof drawn.load = (name, shape) =>
    shape.length > 1 ? () => uniformValues(sizeOf(shape), -0.3, 0.3, randomSource(3, name)) : drawn.load(name, shape);
  return buildModel(parsed, { ...drawn, load }, task);
};

/** Rows with these numbers from JSON lines, as `train` takes them. */
const streamOf = (use: Use, from: number, to: number, size: number, again: boolean): Stream<Batch> => {
  const lines = Array.from({ length: to - from }, (_, i) => JSON.stringify(use.row(textOf(from + i), from + i)));
  const files = memoryFiles(new Map([['rows.jsonl', lines.join('\n')]]));
  const labels = { dtype: 'i32', below: use.labels, none: -100 } as const;
  const types = use.config === bert ? ({ tokenTypes: 'i32' } as const) : {};
  const rows = pipe(jsonl({ files, path: 'rows.jsonl' }), columns({ ids: 'i32', ...types, labels }));
  const whole: Stream<Row> =
    use.config === t5 ? pipe(rows, shiftRight({ decoderStartId: t5.decoder_start_token_id, padId: 0 })) : rows;
  const batches = batch({ size, ...(use.shapes && { shapes: use.shapes }) });
  return again ? pipe(whole, shuffle({ seed: 1 }), repeat(), batches) : pipe(whole, batches);
};

const inputsOf = ({ columns: of, shapes }: Batch): Inputs =>
  Object.fromEntries(Object.entries(of).map(([name, data]) => [name, constant(data, shapes[name]!)]));

const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
};

const firstOf = async (data: Stream<Batch>): Promise<Batch> => (await data.open().next()).value!;

describe.each(Object.entries(uses))('%s', (_, use) => {
  const tuned = async (executor: Executor) => {
    const adapted = attach(await modelOf(use), [lora({ rank: 4, target: 'all-linear' })]);
    const result = await train(adapted, {
      executor,
      data: streamOf(use, 0, 12, 4, true),
      steps: 12,
      schedule: linear({ learningRate: 0.03, steps: 12 }),
      heldOut: { data: streamOf(use, 0, 12, 7, false), every: 6 },
    });
    return { adapted, ...result };
  };
  const define = once(() => tuned(reference()));

  test.each(executors)(
    'is learnt from a stream of rows of unequal lengths, measured, and comes back from its folder, on %s',
    async (name, open) => {
      const executor = await open();
      const { adapted, heldOut, losses } = await tuned(executor);
      expect(heldOut.map(({ step }) => step)).toEqual([0, 6, 12]);
      expect(heldOut[2]!.loss).toBeLessThan(0.95 * heldOut[0]!.loss);
      const values = (of: typeof losses): number[] => of.map(({ loss }) => loss);
      expect(distance(values(losses), values((await define()).losses))).toBeLessThan(1e-3);
      const files = memoryFiles();
      await save(adapted, files, { executor });
      const again = await load(await modelOf(use), files, [lora]);
      // The head of a classifier is trained beside the adapter, and comes with it.
      expect([...again.params.keys()].sort()).toEqual([...adapted.params.keys()].sort());
      const inputs = inputsOf(await firstOf(streamOf(use, 20, 30, 4, false)));
      const [there, here] = await Promise.all(
        [again, adapted].map(async ({ model }) => (await evaluate({ y: model.outputs(inputs) }, { executor }))['y']!),
      );
      // The reference holds double precision, of which a file keeps a part.
      expect(distance(there!, here!)).toBeLessThanOrEqual(name === 'reference' ? 1e-6 : 0);
    },
    120_000,
  );

  test('a batch filled up with padding has the loss of its rows, one by one', async () => {
    const model = await modelOf(use);
    const executor = reference();
    const alone = await evaluateLoss(model, streamOf(use, 0, 9, 1, false), { executor });
    const together = await evaluateLoss(model, streamOf(use, 0, 9, 9, false), { executor });
    expect(together.tokens).toBe(alone.tokens);
    expect(Math.abs(together.loss - alone.loss)).toBeLessThan(1e-6);
  });

  test('a model in a folder is trained as the one that was written there', async () => {
    const executor = reference();
    const model = await modelOf(use);
    const files = memoryFiles();
    await saveModel(model, files, { executor });
    const read = await loadModel(files, { task: use.task });
    const data = () => streamOf(use, 0, 9, 3, false);
    expect(await evaluateLoss(read, data(), { executor })).toEqual(await evaluateLoss(model, data(), { executor }));
  });
});

describe('data that does not fit its task is refused before the first step', () => {
  const run = async (use: Use, data: Stream<Batch>): Promise<unknown> => {
    const adapted = attach(await modelOf(use), [lora({ rank: 2 })]);
    const options = { executor: reference(), data, steps: 1, schedule: () => 1e-2 } satisfies TrainOptions;
    return train(adapted, options);
  };
  const { sequenceClassifier: classes, seq2seqLM: answers, tokenClassifier: tags } = uses as Record<string, Use>;
  const rowsOf = (rows: readonly object[], shapes?: Use['shapes']): Stream<Batch> => {
    const files = memoryFiles(new Map([['rows.jsonl', rows.map((row) => JSON.stringify(row)).join('\n')]]));
    const kinds = Object.fromEntries(Object.keys(rows[0]!).map((name) => [name, 'i32' as const]));
    const made = pipe(jsonl({ files, path: 'rows.jsonl' }), columns(kinds));
    return pipe(made, batch({ size: 2, ...(shapes && { shapes }) }));
  };
  const ids = [3, 4, 5];

  test.each<[string, Use, Stream<Batch>, RegExp]>([
    [
      'a class that there is not',
      classes!,
      rowsOf(
        [
          { ids, labels: 1 },
          { ids, labels: 2 },
        ],
        { labels: [] },
      ),
      /rows\.jsonl line 2: labels\[0\] is the number 2; it holds whole numbers from 0 to 1/,
    ],
    [
      'classes without `shapes`',
      classes!,
      rowsOf([{ ids, labels: 1 }]),
      /labels has the shape \[1, 1\].*shapes: \{ labels: \[\] \}/,
    ],
    ['no labels', classes!, rowsOf([{ ids }]), /sequenceClassifier of bert reads labels too/],
    [
      'a token type that there is not',
      classes!,
      rowsOf([{ ids, tokenTypes: [0, 1, 2], labels: 1 }], { labels: [] }),
      /line 1: tokenTypes\[2\] is the number 2; it holds whole numbers from 0 to 1/,
    ],
    [
      'labels of another length',
      tags!,
      rowsOf([{ ids, labels: [1, 2] }]),
      /labels has the shape \[1, 2\], it must be \[1, 3\]/,
    ],
    [
      'more tokens than there are positions',
      tags!,
      rowsOf([{ ids: Array(17).fill(3), labels: Array(17).fill(1) }]),
      /ids has 17 tokens in a row, the model takes 16/,
    ],
    [
      'no ids for the decoder',
      answers!,
      rowsOf([{ ids, labels: [4, 1] }]),
      /reads decoderIds too\. `shiftRight\(model\.config\)`/,
    ],
    [
      'answers of another length than its decoder reads',
      answers!,
      rowsOf([{ ids, labels: [4, 1], decoderIds: [0, 4, 1] }]),
      /labels has the shape \[1, 2\], it must be \[1, 3\]/,
    ],
    [
      'a token of an answer that the vocabulary lacks',
      answers!,
      rowsOf([{ ids, labels: [4, 99], decoderIds: [0, 4] }]),
      /line 1: labels\[1\] is the number 99/,
    ],
  ])('%s', async (_, use, data, message) => {
    const error = await run(use, data).catch((e) => e);
    expect(error).toMatchObject({ code: 'bad-data', message: expect.stringMatching(message) });
  });
});
