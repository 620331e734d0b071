import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach, load, merge, save, summary } from '@peftjs/core';
import { evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tokens } from '@peftjs/testkit';
import { buildModel, type CausalLM, loadModel, parseConfig, randomWeights, saveModel } from '@peftjs/transformer';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { dora, lora } from '../src/index.ts';

const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const executor = reference();
const logits = async (model: CausalLM): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor }))['y'] as Float32Array;

const parameters = ['experts.gate_up_proj', 'experts.down_proj', 'mlp.gate.weight'];

let base: CausalLM;
beforeAll(async () => {
  const config = await parseConfig({
    model_type: 'mixtral',
    vocab_size: 13,
    hidden_size: 8,
    intermediate_size: 6,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    num_local_experts: 4,
  });
  base = buildModel(config, randomWeights(config, 1));
});

const folder = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'expert-lora-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
};

describe('lora of experts', () => {
  test('has factors for each expert, under the names of PEFT', () => {
    const { params } = attach(base, [lora({ rank: 2, target: [], targetParameters: parameters })]);
    const first = [...params].filter(([name]) => name.includes('layers.0.'));
    expect(
      Object.fromEntries(first.map(([name, { shape }]) => [name.replace('model.layers.0.mlp.', ''), shape])),
    ).toEqual({
      'gate.lora_A.weight': [2, 8],
      'gate.lora_B.weight': [4, 2],
      'experts.base_layer.lora_A.weight': [8, 8],
      'experts.base_layer.lora_B.weight': [12, 8],
      'experts.lora_A.weight': [8, 6],
      'experts.lora_B.weight': [8, 8],
    });
  });

  test('merges into the same function, and the merged model is saved and loaded', async () => {
    const adapted = attach(base, [lora({ rank: 2, target: ['q_proj'], targetParameters: parameters })]);
    await shake(adapted.params, { executor });
    const before = await logits(adapted.model);
    expect(distance(before, await logits(base))).toBeGreaterThan(1e-3);
    const { model } = await merge(adapted, { executor });
    expect(distance(before, await logits(model))).toBeLessThan(1e-5);
    const dir = await folder();
    await saveModel(model, dir, { executor });
    expect(distance(before, await logits(await loadModel(dir)))).toBeLessThan(1e-5);
  });

  test('ranks by pattern count for experts too, and come back from a file', async () => {
    const rankPattern = { '.*\\.gate_up_proj': 4 };
    const adapted = attach(base, [lora({ rank: 2, rankPattern, target: ['q_proj'], targetParameters: parameters })]);
    expect(adapted.params.get('model.layers.0.mlp.experts.base_layer.lora_A.weight')!.shape).toEqual([16, 8]);
    await shake(adapted.params, { executor });
    const dir = await folder();
    await save(adapted, dir, { executor });
    const again = await load(base, dir, [lora]);
    expect(distance(await logits(adapted.model), await logits(again.model))).toBe(0);
  });

  test('counts the values of experts, and all-linear leaves routers out', () => {
    const adapted = attach(base, [lora({ target: 'all-linear' })]);
    expect([...adapted.params.keys()].filter((name) => !name.includes('self_attn'))).toEqual([]);
    const attention = 8 * 8 + 2 * 4 * 8 + 8 * 8;
    const experts = 4 * (12 * 8 + 8 * 6);
    expect(summary(adapted).base).toBe(2 * 13 * 8 + 8 + 2 * (attention + experts + 4 * 8 + 2 * 8));
  });

  test('refuses by name what PEFT has not, and names that name nothing', () => {
    expect(() => lora({ targetParameters: parameters, dropout: 0.1 })).toThrow(/targetParameters takes no dropout/);
    expect(() => attach(base, [lora({ target: [], targetParameters: ['experts.w1'] })])).toThrow(
      'lora: targetParameters experts.w1 name no parameter; there are model.layers.*.mlp.experts.gate_up_proj, ',
    );
    expect(() => attach(base, [lora({ target: ['gate'], targetParameters: ['gate.weight'] })])).toThrow(
      /is that of a layer that target names too/,
    );
    expect(() => attach(base, [lora({ target: [] })])).toThrow(/an empty list/);
    expect(() => dora.fromConfig({ peft_type: 'LORA', use_dora: true, target_parameters: ['experts.w'] })).toThrow(
      /lora alone adapts/,
    );
  });
});
