import { attach } from '@peftjs/core';
import { messageOf } from '@peftjs/tensor/testing';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { tokenTuning } from '../src/index.ts';

test.each([
  ['no tokens', () => tokenTuning({ tokens: [] }), 'tokens must be a list of different token ids, one at least'],
  ['a token twice', () => tokenTuning({ tokens: [1, 1] }), 'tokens must be a list of different token ids'],
  [
    'tokens that the table lacks',
    () => attach(tinyLlama(), [tokenTuning({ tokens: [2, 500] })]),
    'model.embed_tokens has 13 rows, so not 500',
  ],
])('%s are refused', async (_, make, words) => {
  expect(await messageOf('bad-option', async () => make())).toContain(words);
});
