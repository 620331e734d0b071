import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type ProcessOptions, processorsOf } from '../src/generation/processors.ts';
import { drawWeights, type SampleOptions } from '../src/generation/sample.ts';

type Scores = readonly (number | null)[];

interface Golden {
  readonly processed: readonly {
    readonly name: string;
    readonly options: ProcessOptions;
    readonly prompt: readonly number[];
    readonly tokens: readonly number[];
    readonly scores: Scores;
    readonly out: Scores;
  }[];
  readonly warped: readonly {
    readonly name: string;
    readonly options: SampleOptions;
    readonly scores: Scores;
    readonly out: Scores;
  }[];
}

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../tools/golden/data/io/generation.json'), 'utf8'),
) as Golden;
const values = (scores: Scores): Float32Array => Float32Array.from(scores, (s) => s ?? Number.NEGATIVE_INFINITY);

test.each(golden.processed)(
  '$name after $tokens is that of transformers',
  ({ options, prompt, tokens, scores, out }) => {
    const logits = values(scores);
    for (const process of processorsOf(options, new Set([22, 23]))) process(logits, { row: 0, prompt, tokens });
    for (const [i, want] of values(out).entries())
      if (want === Number.NEGATIVE_INFINITY) expect(logits[i]).toBe(want);
      else expect(Math.abs(logits[i]! - want)).toBeLessThan(1e-5);
  },
);

test.each(golden.warped)('$name leaves the chances of transformers', ({ options, scores, out }) => {
  const weights = drawWeights(values(scores), options);
  const total = weights.reduce((a, b) => a + b, 0);
  for (const [i, want] of out.entries()) {
    expect(weights[i] === 0).toBe(want === 0);
    expect(Math.abs(weights[i]! / total - want!)).toBeLessThan(2e-6);
  }
});

test('penalties of the continuation: once for being there, again for each time', () => {
  const logits = new Float32Array(4);
  const [process] = processorsOf({ presencePenalty: 1, frequencyPenalty: 0.25 }, new Set());
  process!(logits, { row: 0, prompt: [0], tokens: [1, 2, 1] });
  expect([...logits]).toEqual([0, -1.5, -1.25, 0]);
});
