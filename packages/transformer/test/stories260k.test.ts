import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { buildModel, generate } from '../src/index.ts';
import { executors, shared } from './executors.ts';
import { readLlama2c, readPieces } from './stories260k.ts';

const folder = join(import.meta.dirname, '../../../../shared/models/stories260k');
const reason = existsSync(folder)
  ? ''
  : `put stories260K.bin and tok512.bin of karpathy/tinyllamas on the Hugging Face hub into ${folder}`;
if (reason) console.warn(`SKIPPED: the story of a real model; ${reason}`);

describe.each(executors)('stories260K on %s', (_, open) => {
  const executor = shared(open);

  test('stories260K, a real model of 260 thousand weights, tells the story that llama2.c tells', async ({
    expect,
    skip,
  }) => {
    skip(reason !== '', reason);
    const { config, weights } = await readLlama2c(join(folder, 'stories260K.bin'));
    const pieces = await readPieces(join(folder, 'tok512.bin'), config.vocabSize);
    const ids = await generate(buildModel(config, weights), {
      executor: await executor(),
      prompt: [1],
      maxTokens: 200,
    });
    // Greedy, 200 steps: `expected_stdout` in llama2.c's test_all.py.
    expect(
      ids
        .map((id) => pieces[id])
        .join('')
        .trim(),
    ).toBe(
      `Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. She said, "I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she`,
    );
  });
});
