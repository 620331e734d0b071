import { expect, test } from 'vitest';
import { inShortCells } from '../src/report/in-short.ts';
import { row } from './rows.ts';

test('a task in one line: ours against the best of each kind that agrees', () => {
  const rows = [
    row('ours-cpu', [800, 900]),
    row('ours-webgpu', [60, 60]),
    row('ours-cpu-int8', [1500, 1200]),
    row('ours-cpu-int8-lean', [1100, 1100]),
    row('torch', [400, 450]),
    row('torch-bf16', [1000, 1200]),
    row('jax-wasm', [20, 20]),
    row('tfjs-wasm', [10, 10]),
    row('jax-webgpu', [90, 90], { agrees: false }),
    row('tfjs-webgpu', [20, 15]),
  ];
  expect(inShortCells([rows, []])).toEqual([
    [
      ...['task', 'CPU: x PyTorch', 'its memory: x PyTorch'],
      ...['int8: x PyTorch bf16', 'int8: x compiled bf16', 'int8 memory: x PyTorch bf16'],
      ...['recomputed: x PyTorch bf16', 'its memory: x PyTorch bf16'],
      ...['CPU: x best in JavaScript', 'WebGPU: x best in JavaScript'],
    ],
    ['lora-small', '2.00', '1.00', '1.25', '-', '1.00', '1.01', '1.00', '42.5 (jax-wasm)', '3.50 (tfjs-webgpu)'],
  ]);
  expect(inShortCells([[row('ours-cpu', [800]), row('torch', [], { failure: 'it ended' })]])[1]).toEqual([
    'lora-small',
    ...Array.from({ length: 9 }, () => '-'),
  ]);
});
