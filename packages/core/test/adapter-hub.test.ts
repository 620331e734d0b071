import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { add, evaluate, mul, reference } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { distance, shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findMethod } from '../src/find-method.ts';
import {
  attach,
  combine,
  defineMethod,
  eachSite,
  type FactoryFormat,
  load,
  type Method,
  type MethodFactory,
  type MethodFormat,
  normal,
  number,
  save,
} from '../src/index.ts';
import { scale, shift } from './toys.ts';

const ids = tokens([1, 5, 2, 9]);
const r = reference();
const logits = async (model: CausalLM): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor: r }))['y'] as Float32Array;

/** A method as adapter-hub/adapters has them: no `peft_type` in its files, and names with `default`. */
const hub = (mode: string, also?: FactoryFormat): MethodFactory<{ gain?: number }> =>
  defineMethod<{ gain?: number }>({
    name: mode,
    formula: {
      merges: false,
      options: { gain: number('gain', 2) },
      attach: (model, scope, { gain }) =>
        eachSite(model, scope, 'block', (own) => {
          const v = own.param(`adapters.default.${mode}`, [8], normal(1));
          return (x, next) => add(next(x), mul(v, gain));
        }),
    },
    files: {
      ...(also && { also }),
      peftType: mode.toUpperCase(),
      layout: 'adapter-hub',
      reads: (config) => config['mode'] === mode,
      config: () => ({ mode }),
    },
    card: {
      about: 'a vector added to the stream',
      paper: scale.paper,
      learningRate: 1e-3,
    },
  });
const union = (methods: Method[]): Method => combine(methods, { layout: 'adapter-hub' });
const [up, down] = [hub('up'), hub('down')];
const base = tinyLlama();

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'core-test-'))));
afterAll(() => rm(dir, { recursive: true }));

const json = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(join(dir, name, 'adapter_config.json'), 'utf8'));

test.each<[string, Method[], object]>([
  ['one', [up({ gain: 3 })], { config: { mode: 'up', gain: 3 }, model_class: 'LlamaForCausalLM', model_name: 'tiny' }],
  ['union', [union([up({ gain: 3 }), down()])], { config: { architecture: 'union', configs: [{}, { mode: 'down' }] } }],
  ['list', [scale(), union([up(), down()]), up({ gain: 5 })], { peft_type: 'PEFTJS_COMBINATION' }],
  [
    'part',
    [combine([{ layers: [1], method: up() }])],
    { peft_type: 'PEFTJS_COMBINATION', methods: [{ layers: [1], method: { peft_type: 'UP' } }] },
  ],
])('%s is saved and loads to the bit', async (name, methods, config) => {
  const adapted = attach(base, methods);
  await shake(adapted.state, { executor: r });
  await save(adapted, join(dir, name), { executor: r, baseModel: 'tiny' });
  expect(await json(name)).toMatchObject(config);
  const again = await load(base, join(dir, name), [scale, down, up]);
  expect([...again.params.keys()]).toEqual([...adapted.params.keys()]);
  expect(distance(await logits(again.model), await logits(adapted.model))).toBe(0);
});

test('a union keeps the names of tensors, and tells nobody of types that are ours', async () => {
  const adapted = attach(base, [union([up(), down()])]);
  expect([...adapted.params.keys()]).toEqual([
    'model.layers.0.adapters.default.up',
    'model.layers.1.adapters.default.up',
    'model.layers.0.adapters.default.down',
    'model.layers.1.adapters.default.down',
  ]);
  await save(adapted, join(dir, 'names'), { executor: r });
  expect(JSON.stringify(await json('names'))).not.toContain('peft_type');
});

test('a method reads its files in another layout too', async () => {
  const both = hub('both', shift);
  await save(attach(base, [shift()]), join(dir, 'other'), { executor: r });
  expect([...(await load(base, join(dir, 'other'), [both])).params.keys()]).toEqual(['w']);
  await save(attach(base, [both({ gain: 3 })]), join(dir, 'own'), { executor: r });
  expect([...(await load(base, join(dir, 'own'), [both])).params.keys()][0]).toContain('both');
});

test('says what it cannot read', async () => {
  await save(attach(base, [union([up(), down()])]), join(dir, 'both'), { executor: r });
  await expect(load(base, join(dir, 'both'), [up])).rejects.toThrow('load was given: up (UP)');
  await save(attach(base, [up()]), join(dir, 'single'), { executor: r });
  await expect(load(base, join(dir, 'single'), [scale, shift])).rejects.toMatchObject({ code: 'bad-adapter' });
  const stray: MethodFormat = { ...up, name: 'stray', fromConfig: () => ({ ...up(), layout: 'peft' }) };
  await expect(load(base, join(dir, 'single'), [stray])).rejects.toThrow(
    'up has files in the layout of peft, not adapter-hub',
  );
});

test.each([
  ['VeRA of the adapters library', { architecture: 'lora', vera_d: 0.1 }],
  ['DVoRA of the adapters library', { architecture: 'lora', vera_d: 0.1, use_dora: true }],
])('says of a file that no method reads what it is: %s', (message, config) => {
  expect(() => findMethod(config, [scale], [])).toThrow(
    `the folder holds an adapter that no method of these packages reads: ${message}`,
  );
});
