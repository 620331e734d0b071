import { grad } from '@peftjs/autograd';
import { constant, evaluate, reference, type Tensor, type Variable } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { buildModel, type CausalLM, causalLM, meanOf, parameters, type Recompute } from '../src/index.ts';
import { naiveLoss } from './naive.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { subjects } from './subjects.ts';

const ids = [3, 1, 4, 1, 5, 9, 2, 6];

describe.each(subjects)('%s', (_, make) => {
  describe('a decoder', () => {
    const { config, model, naive, weights } = make();

    test('the loss without any label is 0', async () => {
      expect(await valuesOf(meanOf(model.loss({ ids: tokens(ids), labels: tokens(ids.map(() => -100)) })))).toEqual([
        0,
      ]);
    });

    test('another label to ignore', async () => {
      const [loss] = await valuesOf(
        meanOf(
          buildModel(config, weights, causalLM({ ignoreIndex: 0 })).loss({
            ids: tokens(ids),
            labels: tokens([...ids.slice(1), 0]),
          }),
        ),
      );
      expect(loss).toBeCloseTo(naiveLoss(naive(ids), [...ids.slice(1), -100]), 6);
    });

    test('a token changes nothing before it, to the bit, and something after it', async () => {
      const changed = ids.with(5, 11);
      const [a, b] = [await valuesOf(model.logits(tokens(ids))), await valuesOf(model.logits(tokens(changed)))];
      const split = 5 * config.vocabSize;
      expect(a.slice(0, split)).toEqual(b.slice(0, split));
      expect(distance(a.slice(split), b.slice(split))).toBeGreaterThan(1e-3);
    });

    test('the last token alone', async () => {
      const all = await valuesOf(model.logits(tokens(ids)));
      expect(await valuesOf(model.logits(tokens(ids), { lastOnly: true }))).toEqual(all.slice(-config.vocabSize));
    });

    test.each([
      ['left', [0, 0, 0, ...ids], [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7], 3],
      ['right', [...ids, 7, 7], [1, 1, 1, 1, 1, 1, 1, 1, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0],
    ])('padding on the %s changes nothing', async (_, padded, kept, positions, at) => {
      const alone = await valuesOf(model.logits(tokens(ids)));
      const mask = constant(Float32Array.from(kept), [1, kept.length]);
      for (const shape of [[kept.length], [1, kept.length]]) {
        const options = { mask, positions: constant(Int32Array.from(positions), shape), positionLimit: 12 };
        const logits = await valuesOf(model.logits(tokens(padded), options));
        expect(distance(logits.slice(at * config.vocabSize, (at + ids.length) * config.vocabSize), alone)).toBeLessThan(
          1e-6,
        );
      }
    });

    test('parameters has every tensor of the checkpoint under its name', () => {
      expect([...parameters(model).keys()].sort()).toEqual([...weights.values.keys()].sort());
      expect(parameters(make({ tieWordEmbeddings: true }).model).has('lm_head.weight')).toBe(false);
    });
  });

  describe('gradients', () => {
    const labels = [1, 4, 1, 5, 9, 2, -100, 0];
    const lossOf = (model: CausalLM, recompute: Recompute = false): Tensor =>
      meanOf(model.loss({ ids: tokens(ids), labels: tokens(labels) }, { recompute }));

    const difference = async (model: CausalLM, v: Variable, entry: number): Promise<number> => {
      const executor = reference();
      const values = (await executor.read(v)) as Float32Array;
      const losses: number[] = [];
      const at: number[] = [];
      for (const step of [2e-3, -2e-3]) {
        const moved = values.with(entry, values[entry]! + step);
        at.push(moved[entry]!);
        await executor.write(v, moved);
        losses.push((await evaluate({ loss: lossOf(model) }, { executor }))['loss']![0]!);
      }
      executor.release([v]);
      return (losses[0]! - losses[1]!) / (at[0]! - at[1]!);
    };

    test.each([false, true])(
      'of the loss equal differences in every kind of weight (tied head: %s)',
      async (tieWordEmbeddings) => {
        const { model } = make({ tieWordEmbeddings });
        const all = [...parameters(model)].filter(([name]) => !name.includes('.1.'));
        const tables = new Set([...model.embeddings.keys()].map((path) => `${path}.weight`));
        const grads = grad(
          lossOf(model),
          all.map(([, v]) => v),
        );
        const analytic = await evaluate(Object.fromEntries(all.map(([name], i) => [name, grads[i]!])), {
          executor: reference(),
        });
        for (const [name, v] of all) {
          const entry = tables.has(name) ? 3 * 8 + 1 : analytic[name]!.length - 1;
          expect.soft(analytic[name]![entry], name).toBeCloseTo(await difference(model, v, entry), 3);
        }
      },
    );

    test.each([true, 1])('are the same where blocks are recomputed (%s)', async (recompute) => {
      const { model } = make();
      const wrt = [...parameters(model).values()];
      const outputs = (which: Recompute): Record<string, Tensor> =>
        Object.fromEntries(grad(lossOf(model, which), wrt).map((g, i) => [i, g]));
      const [stored, recomputed] = [
        await evaluate(outputs(false), { executor: reference() }),
        await evaluate(outputs(recompute), { executor: reference() }),
      ];
      for (const i of wrt.keys()) expect(distance(stored[i]!, recomputed[i]!)).toBeLessThan(1e-7);
    });
  });

  describe('bad input is refused', () => {
    const { model } = make();
    test.each([
      [
        'f32 tokens',
        () => model.hidden(constant(Float32Array.of(1, 2), [1, 2])),
        /tokens must be i32 \[batch, tokens\], got 1x2 f32/,
      ],
      ['tokens of one axis', () => model.hidden(constant(Int32Array.of(1, 2), [2])), /got 2 i32; tokens must be/],
      ['no tokens', () => model.hidden(constant(new Int32Array(0), [1, 0])), /at least one token/],
      [
        'labels of another shape',
        () => meanOf(model.loss({ ids: tokens([1, 2]), labels: tokens([1, 2, 3]) })),
        /got 1x3 i32; labels must be i32 \[1,2\]/,
      ],
      [
        'a mask of another batch',
        () => model.hidden(tokens([1, 2]), { mask: constant(new Float32Array(4), [2, 2]) }),
        /with batch 1/,
      ],
      [
        'a mask with more keys than there are',
        () => model.hidden(tokens([1, 2]), { mask: constant(new Float32Array(3), [1, 3]) }),
        /there are only 2 keys/,
      ],
      [
        'positions of another shape',
        () => model.hidden(tokens([1, 2]), { positions: tokens([0, 1, 2]) }),
        /must be i32 \[2\] or \[1, 2\]/,
      ],
    ])('%s', (_, make, message) => {
      expect(make).toThrow(message);
    });
  });
});
