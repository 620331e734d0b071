import { attach } from '@peftjs/core';
import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { shake } from '@peftjs/testkit';
import { buildModel, imageFeatures, imageText, parseConfig, type Task, textFeatures } from '@peftjs/transformer';
import { tinyWeights } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { clipAdapter, convpass, vpt, vqt } from '../src/index.ts';
import { picture } from './picture.ts';

const side = { num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 12 };
const config = await parseConfig({
  model_type: 'clip',
  text_config: {
    ...side,
    hidden_size: 8,
    vocab_size: 30,
    max_position_embeddings: 8,
    bos_token_id: 0,
    eos_token_id: 9,
  },
  vision_config: { ...side, hidden_size: 12, image_size: 4, patch_size: 2 },
  projection_dim: 6,
});
const open = (task: Task<Tensor>) => buildModel(config, tinyWeights(1), task);
const ids = constant(Int32Array.of(0, 5, 7, 9, 0, 6, 3, 9), [2, 4]);

test.each([
  ['vpt', vpt({ length: 2, deep: true })],
  ['convpass', convpass({ bottleneck: 2, dropout: 0 })],
  ['clipAdapter', clipAdapter({ reduction: 2 })],
])("%s changes CLIP's vectors of pictures, and leaves those of texts", async (_, method) => {
  const executor = reference();
  const changes = async (task: Task<Tensor>, inputs: Readonly<Record<string, Tensor>>): Promise<boolean> => {
    const base = open(task);
    const adapted = attach(base, [method]);
    await shake(adapted.params, { executor });
    const { a, b } = await evaluate({ a: base.outputs(inputs), b: adapted.model.outputs(inputs) }, { executor });
    return a!.some((v, i) => Math.abs(v - b![i]!) > 1e-3);
  };
  expect(await changes(imageFeatures(), { pixels: picture(open(imageText()), 2) })).toBe(true);
  expect(await changes(textFeatures(), { ids })).toBe(false);
});

test('queries want a head that is trained', () => {
  expect(() => attach(open(imageText()), [vqt()])).toThrow(/vqt: .* this model trains none; load it for a task/);
});
