import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach, load, save } from '@peftjs/core';
import { evaluate, reference, sizeOf } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import type { CausalLM } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dora, lora } from '../src/index.ts';

const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const logits = async (model: CausalLM, executor = reference()): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor }))['y'] as Float32Array;

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'lora-test-'))));
afterAll(() => rm(dir, { recursive: true }));

describe('lora', () => {
  test('adapts q_proj and v_proj by default and counts its parameters', () => {
    const { params } = attach(tinyLlama(), [lora({ rank: 2 })]);
    expect([...params.keys()].slice(0, 4)).toEqual([
      'model.layers.0.self_attn.q_proj.lora_A.weight',
      'model.layers.0.self_attn.q_proj.lora_B.weight',
      'model.layers.0.self_attn.v_proj.lora_A.weight',
      'model.layers.0.self_attn.v_proj.lora_B.weight',
    ]);
    expect([...params.values()].reduce((n, p) => n + sizeOf(p.shape), 0)).toBe(2 * 2 * (8 + 24 + 8 + 12));
  });

  test.each([
    ['alpha / rank', { rank: 2, alpha: 6 }, 3],
    ['alpha / √rank', { rank: 4, alpha: 6, rsLora: true }, 3],
    [
      'a pattern for one layer',
      {
        rank: 2,
        alpha: 6,
        rankPattern: { 'layers.1.self_attn.q_proj': 3 },
        alphaPattern: { 'layers.1.self_attn.q_proj': 12 },
      },
      4,
    ],
  ])('scales by %s', async (_, options, scale) => {
    const r = reference();
    const base = tinyLlama();
    const adapted = attach(base, [lora(options)]);
    await shake(adapted.params, { executor: r });
    const path = 'model.layers.1.self_attn.q_proj';
    const rank = adapted.params.get(`${path}.lora_A.weight`)!.shape[0]!;
    const a = await r.read(adapted.params.get(`${path}.lora_A.weight`)!);
    const b = await r.read(adapted.params.get(`${path}.lora_B.weight`)!);
    const { w, w0 } = await evaluate(
      { w: adapted.model.linears.get(path)!.dense().weight, w0: base.linears.get(path)!.dense().weight },
      { executor: r },
    );
    const expected = w0!.map((v, k) => {
      const [i, j] = [Math.floor(k / 8), k % 8];
      let sum = 0;
      for (let s = 0; s < rank; s++) sum += b[i * rank + s]! * a[s * 8 + j]!;
      return v + scale * sum;
    });
    expect(distance(w!, expected)).toBeLessThan(1e-5);
  });

  test('saves and loads to the bit, in the layout of Hugging Face PEFT', async () => {
    const r = reference();
    const base = tinyLlama();
    const adapted = attach(base, [
      lora({ rank: 2, alpha: 4, rsLora: true, rankPattern: { 'layers.1.self_attn.v_proj': 1 } }),
    ]);
    await shake(adapted.params, { executor: r });
    await save(adapted, join(dir, 'saved'), { executor: r, baseModel: 'tiny' });
    const config = JSON.parse(await readFile(join(dir, 'saved', 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 4,
      use_rslora: true,
      target_modules: ['q_proj', 'v_proj'],
      base_model_name_or_path: 'tiny',
    });
    const again = await load(base, join(dir, 'saved'), [lora]);
    expect([...again.params.keys()]).toEqual([...adapted.params.keys()]);
    expect(distance(await logits(again.model, r), await logits(adapted.model, r))).toBe(0);
  });

  test('says what is wrong', async () => {
    const base = tinyLlama();
    expect(() => attach(base, [lora({ target: ['q_proj', 'query', 'c_attn'] })])).toThrow(
      "lora: target 'query', 'c_attn' matches no layer; there are model.layers.*.self_attn.q_proj",
    );
    expect(() => lora({ rank: 0 })).toThrow('lora: rank must be a whole number of at least 1, got 0');
    expect(() => lora({ rank: 4n as never, alpha: Number.NaN })).toThrow(
      'at least 1, got 4; alpha must be a finite number, got NaN',
    );
    expect(() => lora({ dropout: 1 })).toThrow('lora: dropout must be in [0, 1), got 1');
    expect(() => lora({ rankPattern: { '(': 2 } })).toThrow(
      'rankPattern must be ranks of at least 1 by regular expressions of paths, got {"(":2}',
    );
    expect(() => lora.fromConfig({ peft_type: 'LORA', target_modules: '(' })).toThrow(
      'target_modules: is no regular expression, got "("',
    );
    const config = { peft_type: 'LORA', lora_bias: true, use_dora: true, kasa_config: { beta: 1 } };
    expect(() => lora.fromConfig(config)).toThrow('use_dora = true, kasa_config = ');
    expect(() => dora.fromConfig({ ...config, kasa_config: null })).toThrow('lora_bias = true');
    expect(() => lora.fromConfig({ peft_type: 'LORA', layer_replication: [[0, 2]] })).toThrow(
      /repeats layers of the base/,
    );
    expect(() => attach(base, [lora({ target: 'embed_tokens', loraBias: true })])).toThrow(
      /is an embedding, which takes no loraBias/,
    );
    await save(attach(base, [lora({ rank: 2 })]), join(dir, 'other'), { executor: reference() });
    await expect(load(base, join(dir, 'other'), [])).rejects.toThrow(
      "the folder holds a LoRA (LORA); pass lora from '@peftjs/lora'. load was given: none",
    );
    await expect(load(tinyLlama({ hiddenSize: 16, layers: 1 }), join(dir, 'other'), [lora])).rejects.toMatchObject({
      code: 'state-mismatch',
      message: expect.stringMatching(
        /q_proj\.lora_A\.weight is \[2,8\], the model takes \[2,16\].*model\.layers\.1\.self_attn\.v_proj\.lora_B\.weight belongs to nothing/s,
      ),
    });
    await expect(load(base, join(dir, 'nowhere'), [lora])).rejects.toMatchObject({ code: 'file-missing' });
  });
});
