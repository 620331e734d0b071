import { beforeAll, describe, expect, test, vi } from 'vitest';
import * as ours from './index.ts';

type Package = typeof ours;

/** A second instance of every module, as a second installed copy is one: of another version. */
let theirs: Package;
let inside: { readonly ours: typeof import('./executor.ts'); readonly theirs: typeof import('./executor.ts') };
beforeAll(async () => {
  const own = await import('./executor.ts');
  vi.resetModules();
  vi.doMock('../package.json', () => ({ version: '9.9.9' }));
  theirs = await import('./index.ts');
  inside = { ours: own, theirs: await import('./executor.ts') };
});

const scalar = ({ constant }: Package, value: number): ours.Tensor => constant(Float32Array.of(value), []);
const refused = {
  code: 'mixed-copies',
  message: expect.stringMatching(
    /made by @peftjs\/tensor 9\.9\.9, but .* another copy, @peftjs\/tensor \d.*npm ls @peftjs\/tensor.*npm dedupe/,
  ),
};
const caught = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};

describe('two copies of the package', () => {
  test('number their nodes alike, and each computes by itself', async () => {
    for (const copy of [ours, theirs]) {
      const [three, five] = [scalar(copy, 3), scalar(copy, 5)];
      const y = copy.add(copy.mul(three, three), copy.mul(five, five));
      expect((await copy.evaluate({ y }, { executor: copy.reference() }))['y']).toEqual(Float32Array.of(34));
    }
  });

  test('do not meet in an op', () => {
    const [three, five] = [scalar(ours, 3), scalar(theirs, 5)];
    expect(caught(() => ours.add(ours.mul(three, three), theirs.mul(five, five)))).toMatchObject(refused);
    expect(ours.isPeftError(caught(() => theirs.add(three, five)))).toBe(true);
    expect(caught(() => ours.variable('v', [], five))).toMatchObject(refused);
  });

  test('do not meet in a program, nor in its updates', () => {
    const v = ours.variable('v', [], Float32Array.of(1));
    expect(caught(() => ours.buildProgram({ outputs: { a: scalar(ours, 3), b: scalar(theirs, 5) } }))).toMatchObject(
      refused,
    );
    expect(caught(() => ours.buildProgram({ updates: [[v, scalar(theirs, 5)]] }))).toMatchObject(refused);
  });

  test('do not meet in an executor', async () => {
    const executor = ours.reference();
    const v = theirs.variable('v', [1], Float32Array.of(1));
    await expect(executor.compile(theirs.buildProgram({ outputs: { v } }))).rejects.toMatchObject(refused);
    await expect(theirs.compile({ outputs: { v } }, { executor })).rejects.toMatchObject(refused);
    await expect(executor.read(v)).rejects.toMatchObject(refused);
    await expect(executor.write(v, Float32Array.of(2))).rejects.toMatchObject(refused);
    expect(caught(() => inside.ours.wasWritten(v))).toMatchObject(refused);
    expect(inside.theirs.wasWritten(v)).toBe(false);
  });
});
