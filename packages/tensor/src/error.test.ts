import { expect, test } from 'vitest';
import { isPeftError, PeftError } from './error.ts';

test('a message keeps its start and its end, within a thousand characters', () => {
  const cause = new Error('why');
  const error = new PeftError('bad-data', `who: ${'x'.repeat(5000)}. Do this.`, { cause });
  expect(isPeftError(error)).toBe(true);
  expect(error.message.length).toBeLessThanOrEqual(1000);
  expect(error.message).toMatch(/^who: x+ \[…\] x+\. Do this\.$/);
  expect(error.cause).toBe(cause);
  for (const length of [0, 1, 999, 1000])
    expect(new PeftError('bad-data', 'y'.repeat(length)).message.length).toBe(length);
  expect(new PeftError('bad-data', 'y'.repeat(1001)).message.length).toBe(1000);
});
