import { expect, test } from 'vitest';
import { labelled, randomBatch } from '../src/data/batch.ts';
import { memory } from '../src/tasks/memory.ts';

const task = { ...memory[0]!, tokens: 64 };

test('padded rows hold one document and then nothing, 9/16 of all in the mean; packed ones are full', () => {
  for (const batch of [1, 2, 8]) {
    const size = batch * task.tokens;
    const padded = randomBatch({ ...task, batch }, 1);
    expect(padded.ids).toHaveLength(size);
    expect(labelled(padded) / size).toBeCloseTo(9 / 16, 1);
    for (let row = 0; row < batch; row++) {
      const labels = padded.labels.slice(row * task.tokens, (row + 1) * task.tokens);
      const used = labels.indexOf(-100) < 0 ? task.tokens : labels.indexOf(-100);
      expect(labels.slice(used).every((label) => label === -100)).toBe(true);
      // A label is the token after.
      expect(labels.slice(0, used - 1)).toEqual(padded.ids.slice(row * task.tokens + 1, row * task.tokens + used));
    }
    expect(labelled(randomBatch({ ...task, batch, documents: 'packed' }, 1))).toBe(size);
  }
});
