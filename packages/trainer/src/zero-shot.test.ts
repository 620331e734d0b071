import { attach } from '@peftjs/core';
import { batch, fromArray, pipe, type Row, repeat } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { buildModel, imageText, parseConfig, zeroShot } from '@peftjs/transformer';
import { tinyWeights } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { train } from './index.ts';

const side = { hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 12 };
const config = await parseConfig({
  model_type: 'clip',
  text_config: { ...side, vocab_size: 12, max_position_embeddings: 6, bos_token_id: 0, eos_token_id: 9 },
  vision_config: { ...side, image_size: 4, patch_size: 2 },
  projection_dim: 6,
});

const pictures: readonly Row[] = [0, 1, 2, 3].map((i) => ({
  pixels: Float32Array.from({ length: 48 }, (_, at) => Math.sin(at * (1 + (i % 2)) + i)),
  labels: Int32Array.of(i % 2),
}));
const options = {
  schedule: () => 2e-2,
  data: pipe(fromArray(pictures), repeat(), batch({ size: 4, shapes: { pixels: [3, 4, 4], labels: [] } })),
};

test.each(['text', 'vision'])(
  'zero-shot classes are trained by pictures and labels alone, in the tower of %s',
  async (tower) => {
    const executor = reference();
    const task = zeroShot({
      labels: ['one', 'two'],
      encode: (text) => (/one/.test(text) ? [0, 9] : [1, 2, 3, 9]),
      padId: 9,
    });
    const adapted = attach(buildModel(config, tinyWeights(3), task), [
      lora({ rank: 2, target: [`${tower}_model.*.out_proj`, `${tower}_model.*.fc2`] }),
    ]);
    const { losses } = await train(adapted, { ...options, executor, steps: 30 });
    expect(losses.at(-1)!.loss).toBeLessThan(losses[0]!.loss - 0.02);
  },
);

test('pairs are not trained without texts', async () => {
  const executor = reference();
  const task = imageText();
  const adapted = attach(buildModel(config, tinyWeights(3), task), [lora({ rank: 2 })]);
  const message = await messageOf('bad-data', () => train(adapted, { ...options, executor, steps: 1 }));
  expect(message).toContain('imageText of clip reads ids too');
});
