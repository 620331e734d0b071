import { attach } from '@peftjs/core';
import { messageOf } from '@peftjs/tensor/testing';
import { buildModel, imageClassifier, parseConfig, randomWeights } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { lora } from '../src/index.ts';

const task = imageClassifier({ labels: 2 });
const config = await parseConfig({
  model_type: 'vit',
  hidden_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 12,
  image_size: 4,
  patch_size: 2,
});
const model = buildModel(config, randomWeights(config, 0, task), task);

test('all linear layers leave out the patches and the classifier, which is trained whole', () => {
  const { params } = attach(model, [lora({ rank: 2, target: 'all-linear' })]);
  const layers = [...params.keys()].map((name) => name.replace(/^.*layers\.0\.|\.(lora_[AB]\.)?weight$|\.bias$/g, ''));
  expect(new Set(layers)).toEqual(
    new Set([
      ...['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => `attention.${name}`),
      'mlp.fc1',
      'mlp.fc2',
      'classifier',
    ]),
  );
});

test('the patches by name are refused: files hold a convolution', async () => {
  const message = await messageOf('no-match', () =>
    attach(model, [lora({ rank: 2, target: ['projection', 'q_proj'] })]),
  );
  expect(message).toContain('patch_embeddings.projection is a convolution');
});
