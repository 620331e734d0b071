import { describe, expect, test } from 'vitest';
import type { Dispatch } from '../kernel.ts';
import { paramBytes, shaderOf, writeParams } from './shader.ts';
import { shareBindings } from './share-binding.ts';

const dispatch: Dispatch = {
  wgsl: 'enable subgroups;\nfn twice(w: f32) -> f32 { return 2.0 * w; }\nfn main() { out0[0] = twice(weight[0]) + heavyweight; }',
  bindings: [
    { buffer: 'weight', access: 'read', element: 'f32' },
    { buffer: 'bias', as: 'b', access: 'read', element: 'vec4<f32>' },
    { buffer: 'out0', access: 'read_write', element: 'f32' },
  ],
  params: { rows: 3, eps: { f32: 0.5 }, shift: -2 },
  workgroups: 1,
};

describe('shaderOf', () => {
  test('declares bindings and parameters in order, directives before all', () => {
    const { code, access } = shaderOf(dispatch);
    expect(access).toEqual(['read', 'read', 'read_write']);
    expect(code.split('\n').slice(0, 6)).toEqual([
      'enable subgroups;',
      'struct Params { rows: u32, eps: f32, shift: u32, first_group: u32, groups_x: u32 }',
      '@group(0) @binding(0) var<storage, read> weight: array<f32>;',
      '@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;',
      '@group(0) @binding(2) var<storage, read_write> out0: array<f32>;',
      '@group(0) @binding(3) var<uniform> p: Params;',
    ]);
  });

  test('parameters are written as declared', () => {
    const view = new DataView(new ArrayBuffer(paramBytes(dispatch) + 4));
    writeParams(view, 4, dispatch, { x: 9, y: 2, first: 7 });
    expect([
      view.getUint32(4, true),
      view.getFloat32(8, true),
      view.getInt32(12, true),
      view.getUint32(16, true),
      view.getUint32(20, true),
    ]).toEqual([3, 0.5, -2, 7, 9]);
  });
});

describe('shareBindings', () => {
  test('an input in the memory of an output is read through it, by whole names', () => {
    const shared = shareBindings(
      dispatch,
      (a, b) => new Set([a, b]).size === 1 || [a, b].sort().join() === 'out0,weight',
    );
    expect(shared.bindings.map((b) => b.buffer)).toEqual(['bias', 'out0']);
    expect(shared.wgsl).toContain('out0[0] = twice(out0[0]) + heavyweight');
  });

  test('without shared memory nothing changes', () => {
    expect(shareBindings(dispatch, (a, b) => a === b)).toBe(dispatch);
  });
});
