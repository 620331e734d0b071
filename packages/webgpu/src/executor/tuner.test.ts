import { describe, expect, it } from 'vitest';
import type { Choice } from '../kernel.ts';
import { type Answer, makeTuner, type TunerOptions, type TuneStore } from './tuner.ts';

/** A choice whose ways take given milliseconds; `text` is that of their kernels. */
const choiceOf = (key: string, ms: Readonly<Record<string, number>>, text = ''): Choice => ({
  key,
  ways: Object.keys(ms),
  trial: (way) => ({
    plan: { dispatches: [{ wgsl: `${way}${text}`, bindings: [], workgroups: 1, flops: ms[way]! }] },
    buffers: {},
  }),
});

const memoryStore = (answers = new Map<string, Answer>()): TuneStore & { readonly answers: Map<string, Answer> } => ({
  answers,
  load: async () => new Map(answers),
  save: async (found) => found.forEach((answer, key) => answers.set(key, answer)),
});

/** A tuner on a clock that only trials move; `timed` lists what was timed. */
const tunerOn = (store: TuneStore, options: Partial<TunerOptions> = {}) => {
  const timed: string[] = [];
  let clock = 0;
  const tuner = makeTuner({
    now: () => clock,
    time: async ({ plan: { dispatches } }) => {
      timed.push(dispatches[0]!.wgsl);
      clock += dispatches[0]!.flops!;
      return dispatches[0]!.flops!;
    },
    store,
    budget: 100,
    ...options,
  });
  return { tuner, timed };
};

describe('a tuner', () => {
  it('knows nothing until it has timed what was asked for, once', async () => {
    const { tuner, timed } = tunerOn(memoryStore());
    const choice = choiceOf('k', { a: 3, b: 1, c: 2 });
    expect(await tuner.settle()).toBe(false);
    expect(tuner.choose(choice)).toBeUndefined();
    expect(tuner.choose(choice)).toBeUndefined();
    expect(await tuner.settle()).toBe(true);
    expect(tuner.choose(choice)).toBe('b');
    expect(timed).toEqual(['a', 'b', 'c']);
    expect(await tuner.settle()).toBe(false);
  });

  it('leaves the first way only for what is clearly faster', async () => {
    const { tuner } = tunerOn(memoryStore());
    const choice = choiceOf('k', { a: 3, b: 2.95 });
    tuner.choose(choice);
    await tuner.settle();
    expect(tuner.choose(choice)).toBe('a');
  });

  it('keeps answers, and finds them anew for other kernels, other ways or what no longer is one', async () => {
    const store = memoryStore();
    const ask = async (choice: Choice) => {
      const { tuner, timed } = tunerOn(store);
      tuner.choose(choice);
      await tuner.settle();
      return { way: tuner.choose(choice), timed: timed.length };
    };
    expect(await ask(choiceOf('k', { a: 3, b: 1 }))).toEqual({ way: 'b', timed: 2 });
    // Whatever they would take now.
    expect(await ask(choiceOf('k', { a: 1, b: 3 }))).toEqual({ way: 'b', timed: 0 });
    expect(await ask(choiceOf('k', { a: 1, b: 3 }, ' // changed'))).toEqual({ way: 'a', timed: 2 });
    expect(await ask(choiceOf('k', { a: 3, b: 2, c: 1 }))).toEqual({ way: 'c', timed: 3 });
    for (const [key, { kernels }] of store.answers) store.answers.set(key, { way: 'gone', kernels });
    expect(await ask(choiceOf('k', { a: 3, b: 2, c: 1 }))).toEqual({ way: 'c', timed: 3 });
  });

  it('begins no trial after its time is up, stays with what it has, and leaves the rest to a later process', async () => {
    const store = memoryStore();
    const choices = [
      choiceOf('early', { a: 10, b: 5 }),
      choiceOf('cut', { a: 60, b: 50, c: 1 }),
      choiceOf('late', { a: 2, b: 1 }),
    ];
    const ask = async () => {
      const { tuner, timed } = tunerOn(store);
      for (const choice of choices) tuner.choose(choice);
      await tuner.settle();
      return { ways: choices.map((choice) => tuner.choose(choice)), timed: timed.length };
    };
    expect(await ask()).toEqual({ ways: ['b', 'b', 'a'], timed: 4 });
    expect([...store.answers.keys()]).toEqual(['early: a, b']);
    expect(await ask()).toEqual({ ways: ['b', 'c', 'a'], timed: 3 });
    expect(await ask()).toEqual({ ways: ['b', 'c', 'b'], timed: 2 });
  });

  it('makes one choice however long that takes', async () => {
    const store = memoryStore();
    const { tuner } = tunerOn(store);
    const [slow, late] = [choiceOf('slow', { a: 900, b: 800, c: 700 }), choiceOf('late', { a: 2, b: 1 })];
    tuner.choose(slow);
    tuner.choose(late);
    await tuner.settle();
    expect([tuner.choose(slow), tuner.choose(late)]).toEqual(['c', 'a']);
    expect(store.answers.size).toBe(1);
  });

  it('keeps no answer where nothing could be timed', async () => {
    const store = memoryStore();
    const { tuner } = tunerOn(store, { time: async () => Number.POSITIVE_INFINITY });
    const choice = choiceOf('k', { a: 1, b: 1 });
    tuner.choose(choice);
    await tuner.settle();
    expect(tuner.choose(choice)).toBe('a');
    expect(store.answers.size).toBe(0);
  });
});
