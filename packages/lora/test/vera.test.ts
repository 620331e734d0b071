import { attach } from '@peftjs/core';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { vera } from '../src/index.ts';

test('vera shares one pair of projections, as large as the largest layer needs', () => {
  const { params, state } = attach(tinyLlama(), [vera({ rank: 5, target: ['q_proj', 'down_proj'] })]);
  const frozen = [...state.keys()].filter((name) => !params.has(name));
  expect(frozen.map((name) => [name, state.get(name)!.shape])).toEqual([
    ['vera_A', [5, 10]],
    ['vera_B', [24, 5]],
  ]);
});

test('vera refuses a file without its projections, and says why', () => {
  expect(() => vera.fromConfig({ peft_type: 'VERA', r: 4, save_projection: false })).toThrow(
    "vera: adapter_config.json: save_projection is false, so the projections are not in the file, and torch's random generator is not here to draw them again; save it with save_projection=True",
  );
});
