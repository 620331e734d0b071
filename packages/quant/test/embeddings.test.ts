import { buildProgram, evaluate, PeftError, reference } from '@peftjs/tensor';
import { meanOf } from '@peftjs/transformer';
import { distance, noModel, tinyGpt2, tinyLlama, tinyVit, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { int3, int4, int8, nf4, type QuantFormat, quantizeEmbeddings } from '../src/index.ts';
import { executors } from './executors.ts';

const formats: Readonly<Record<string, QuantFormat>> = {
  int8: int8(),
  "int8({ compute: 'int8' })": int8({ compute: 'int8' }),
  'int3 with zero points': int3({ blockSize: 8 }),
  'int4 with real zero points': int4({ blockSize: 8, zeroPoints: 'real' }),
  'nf4 without double quantisation': nf4({ blockSize: 8, doubleQuant: false }),
};
const table = 'model.embed_tokens';
const whole = int8({ compute: 'int8' });
const tied = () => tinyLlama({ tieWordEmbeddings: true });
const ids = tokens([1, 5, 2, 9, 4], [3, 3, 12, 0, 7]);
const labels = tokens([5, 2, 9, 4, -100], [3, 12, 0, 7, 1]);
const lossOf = (model: ReturnType<typeof tinyLlama>) => meanOf(model.loss({ ids, labels }));

describe.each(executors)('on %s', (_, open) => {
  test.each(Object.entries(formats))('rows in %s are those of the unpacked table', async (__, format) => {
    const { apply, weight, dim } = quantizeEmbeddings(tinyLlama(), format).embeddings.get(table)!;
    const { rows, all } = await evaluate({ rows: apply(ids, noModel), all: weight }, { executor: await open() });
    const wanted = [1, 5, 2, 9, 4, 3, 3, 12, 0, 7].flatMap((id) => [...all!.subarray(id * dim, (id + 1) * dim)]);
    expect(distance(rows!, Float32Array.from(wanted))).toBeLessThan(1e-6);
    expect(Math.hypot(...wanted)).toBeGreaterThan(0.1);
  });

  test('a tied head in int8 shares the bytes of the table, and the loss stays near', async () => {
    const [base, model] = [tied(), quantizeEmbeddings(tied(), whole)];
    const { loss, before } = await evaluate({ loss: lossOf(model), before: lossOf(base) }, { executor: await open() });
    expect(Math.abs(loss![0]! - before![0]!)).toBeLessThan(0.01);
    expect(loss![0]).not.toBe(before![0]);
  });
});

test('a tied table is held once, packed', () => {
  const names = ({ variables }: ReturnType<typeof buildProgram>) =>
    variables
      .map(({ node }) => node.name)
      .filter((name) => /embed|head/.test(name))
      .sort();
  const program = (model: ReturnType<typeof tinyLlama>) => buildProgram({ outputs: { loss: lossOf(model) } });
  expect(names(program(quantizeEmbeddings(tied(), whole)))).toEqual([`${table}.weight.codes`, `${table}.weight.scale`]);
  expect(names(program(quantizeEmbeddings(tinyLlama(), whole)))).toEqual([
    'lm_head.weight',
    `${table}.weight.codes`,
    `${table}.weight.scale`,
  ]);
});

test('a table of positions stays as it is', () => {
  const base = tinyGpt2();
  const model = quantizeEmbeddings(base, int8());
  const changed = [...base.embeddings.keys()].filter(
    (path) => model.embeddings.get(path) !== base.embeddings.get(path),
  );
  expect(changed).toEqual(['transformer.wte']);
});

test('a table takes other values in its format', async () => {
  const embedding = quantizeEmbeddings(tinyLlama(), int8()).embeddings.get(table)!;
  const other = embedding.encode(tinyLlama({}, 1).embeddings.get(table)!.weight);
  const { got, wanted } = await evaluate(
    { got: other.weight, wanted: tinyLlama({}, 1).embeddings.get(table)!.weight },
    { executor: reference() },
  );
  expect(distance(got!, wanted!)).toBeLessThan(0.01 * Math.hypot(...wanted!));
  expect(other.rows).toBe(embedding.rows);
});

test.each([
  [
    'twice',
    () => quantizeEmbeddings(quantizeEmbeddings(tinyLlama(), int8()), int8()),
    /model\.embed_tokens is adapted, or quantised already/,
  ],
  [
    'a format whose rows share scales',
    () => quantizeEmbeddings(tinyLlama(), nf4({ blockSize: 8 })),
    /packs the scales of several rows of model\.embed_tokens\.weight together.*doubleQuant: false/,
  ],
  ['a model of pictures', () => quantizeEmbeddings(tinyVit(), int8()), /vit has no table of tokens/],
])('%s is refused', (_, make, message) => {
  expect(make).toThrow(PeftError);
  expect(make).toThrow(message);
});
