import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile, evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, onTestFinished, test } from 'vitest';
import { attach, hotSwap, load, save } from '../src/index.ts';
import { scale, shift } from './toys.ts';

const ids = tokens([1, 5, 2, 9]);
const methods = () => [scale(), shift()];

test('a compiled program takes the values of a saved adapter without compiling again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'core-swap-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const r = reference();
  const base = tinyLlama();
  const [first, second] = [attach(base, methods()), attach(base, methods(), { seed: 1 })];
  for (const { state } of [first, second]) await shake(state, { executor: r });
  await save(second, dir, { executor: r });
  const wanted = (await evaluate({ y: second.model.logits(ids) }, { executor: r }))['y']!;

  const program = await compile({ outputs: { y: first.model.logits(ids) } }, { executor: r });
  expect(distance((await program.run())['y']!, wanted)).toBeGreaterThan(0.01);
  await hotSwap(first, await load(base, dir, [scale, shift]), { executor: r });
  expect(distance((await program.run())['y']!, wanted)).toBe(0);
});

test('another configuration is refused with all that differs, and nothing is changed', async () => {
  const r = reference();
  const base = tinyLlama();
  const adapted = attach(base, [scale()]);
  const before = [...(await r.read([...adapted.state.values()][0]!))];
  await expect(hotSwap(adapted, attach(base, [scale({ target: 'o_proj' })]), { executor: r })).rejects.toMatchObject({
    code: 'state-mismatch',
    message: expect.stringMatching(
      /target_modules is \["o_proj"\] there, \["q_proj"\] here; model\.layers\.0\.self_attn\.q_proj\.s is missing there.*o_proj\.s belongs to nothing here/s,
    ),
  });
  expect([...(await r.read([...adapted.state.values()][0]!))]).toEqual(before);
});
