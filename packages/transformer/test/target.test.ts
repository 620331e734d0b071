import { describe, expect, test } from 'vitest';
import { nameMatches, targeted } from '../src/target.ts';

const paths = [
  'model.layers.0.self_attn.q_proj',
  'model.layers.0.mlp.up_proj',
  'model.layers.10.self_attn.q_proj',
  'lm_head',
];

describe('select', () => {
  test.each([
    ['a name', 'q_proj', [0, 2]],
    ['the end of a path', '0.self_attn.q_proj', [0]],
    ['a whole path', 'lm_head', [3]],
    ['a star', 'layers.*.up_proj', [1]],
    ['a list, in the order of the model', ['lm_head', 'q_proj'], [0, 2, 3]],
    ['all-linear', 'all-linear', [0, 1, 2]],
    ['a pattern over the whole path', /.*layers\.1\d.*/, [2]],
    ['a predicate', (p: string) => p.length < 10, [3]],
  ])('%s', (_, target, expected) => {
    expect(targeted(paths, target, 'm')).toEqual(expected.map((i) => paths[i]));
  });

  test.each([
    [
      'no layer',
      'query',
      "m: target 'query' matches no layer; there are model.layers.*.self_attn.q_proj, model.layers.*.mlp.up_proj, lm_head",
    ],
    ['one entry of several', ['q_proj', 'proj'], "target 'proj' matches no layer"],
    ['an empty list', [], 'an empty list matches no layer'],
    ['a pattern of a part', /q_proj/, '/q_proj/ matches no layer'],
  ])('%s is an error', (_, target, message) => {
    expect(() => targeted(paths, target, 'm')).toThrow(message);
  });

  test.each([
    ['*', true],
    ['*.q_proj', true],
    ['layers*self*', true],
    ['la*layers', false],
    ['layers.0.self_attn.q_pr*q_proj', false],
    ['layers.**.q_proj', true],
    ['**', true],
    ['*a'.repeat(60), false],
    [`${'*'.repeat(60)}q_proj`, true],
    [`${'*'.repeat(60)}q_projx`, false],
  ])('%s with stars takes no time', (name, fits) => {
    const start = performance.now();
    expect(nameMatches(name, 'model.layers.0.self_attn.q_proj')).toBe(fits);
    nameMatches(name, `model.${'a'.repeat(10_000)}`);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  test('a name is no pattern', () => {
    expect(nameMatches('q.proj', 'layers.0.q_proj')).toBe(false);
    expect(nameMatches('proj', 'layers.0.q_proj')).toBe(false);
  });
});
