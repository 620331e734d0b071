import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { peftjs } from './cli.ts';

let lines: string[] = [];
beforeEach(() => {
  lines = [];
  vi.spyOn(console, 'log').mockImplementation((text: string) => void lines.push(...text.split('\n')));
});
afterEach(() => vi.restoreAllMocks());

/** The words that a shell is offered. */
const offered = async (...typed: string[]): Promise<readonly string[]> => {
  lines = [];
  expect((await peftjs(['complete', '--', ...typed])).code).toBe(0);
  return lines.filter((line) => !line.startsWith(':')).map((line) => line.split('\t')[0]!);
};

describe('a shell is offered', () => {
  test('commands, and what begins as a word does', async () => {
    expect(await offered('')).toEqual(expect.arrayContaining(['init', 'train', 'search', 'completion']));
    expect(await offered('se')).toEqual(['search', 'serve']);
  });

  test('flags of a command, and all fields of a run', async () => {
    expect(await offered('merge', '--d')).toEqual(['--dtype', '--device']);
    expect(await offered('train', '--optimizer.r')).toEqual(['--optimizer.rate']);
    expect(await offered('train', '--batch')).toEqual(['--batch-size']);
  });

  test('the words that a flag takes, and names', async () => {
    expect(await offered('train', '--schedule', 'c')).toEqual(['cosine', 'constant', 'cosineRestarts']);
    expect(await offered('train', '--method', 'dor')).toEqual(['dora']);
    expect(await offered('init', '--recipe', 'd')).toEqual(['dpo', 'distillation']);
    expect(await offered('methods', 'ia')).toEqual(['ia3']);
    expect(await offered('train', '--data.too-long', '')).toEqual(['cut', 'skip', 'error']);
  });
});

test.each(['bash', 'zsh', 'fish'])('%s has a script, which asks the command', async (shell) => {
  lines = [];
  expect((await peftjs(['completion', shell])).code).toBe(0);
  expect(lines.join('\n')).toContain('peftjs complete --');
});

test('another shell is refused', async () => {
  expect(await peftjs(['completion', 'fsh'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('did you mean fish?'),
  });
});
