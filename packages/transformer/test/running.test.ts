import { constant, type Tensor } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import {
  buildModel,
  type CausalLM,
  canRun,
  type DecoderConfig,
  generator,
  type RunningText,
  runningBatch,
} from '../src/index.ts';
import { executors, shared } from './executors.ts';
import { tinyConfig, tinyGpt2Config, tinyWeights } from './tiny.ts';

const length = 160;
const windowed: DecoderConfig = {
  ...tinyConfig({ layers: 2, maxPositions: length }),
  modelType: 'mistral',
  fields: { slidingWindow: 5 },
};
const models: readonly (readonly [string, CausalLM])[] = [
  ['llama', buildModel(tinyConfig({ layers: 2, maxPositions: length }), tinyWeights(3))],
  ['gpt2', buildModel(tinyGpt2Config({ layers: 1, maxPositions: length }), tinyWeights(3))],
  ['mistral with a window', buildModel(windowed, tinyWeights(3))],
];

const open = shared(executors[1]![1]);
const likeliest = (logits: Float32Array): number => logits.indexOf(Math.max(...logits));
const textOf = (count: number, salt: number): number[] =>
  Array.from({ length: count }, (_, i) => 1 + (((i * 7 + salt * 5 + (i * i) / 3) | 0) % 12));

/** Prompts, the step at which each comes, and how many tokens it wants. */
const asked = [
  { prompt: textOf(5, 0), at: 0, count: 20 },
  { prompt: textOf(37, 1), at: 3, count: 4 },
  { prompt: textOf(2, 2), at: 4, count: 9 },
  { prompt: textOf(60, 3), at: 5, count: 12 },
  { prompt: textOf(9, 4), at: 6, count: 1 },
  { prompt: textOf(40, 5), at: 18, count: 6 },
  { prompt: textOf(130, 6), at: 22, count: 25 },
];

describe.each(models)('a running batch of %s', (_, model) => {
  test('gives each text what it gets alone, whatever comes and goes', async () => {
    const executor = await open();
    const alone = generator(model, { executor, context: length });
    const batch = await runningBatch(
      { voices: [null], alone: () => model, mixed: () => expect.fail() },
      {
        executor,
        context: length,
        rows: 3,
      },
    );
    const got = asked.map((): number[] => []);
    const running = new Map<RunningText<null>, number>();
    const waiting = [...asked.keys()];
    let reading: number | null = null;
    let together = 0;
    const isDone = (i: number): boolean => got[i]!.length >= asked[i]!.count;
    for (let step = 0; waiting.length > 0 || running.size > 0 || reading !== null; step++) {
      if (reading === null && batch.hasRoom() && waiting.length > 0 && asked[waiting[0]!]!.at <= step) {
        reading = waiting.shift()!;
        await batch.begin(null, asked[reading]!.prompt);
      }
      const logits = reading === null ? null : await batch.read();
      if (logits && reading !== null) {
        got[reading]!.push(likeliest(logits));
        if (isDone(reading)) batch.abandon();
        else running.set(await batch.join(got[reading]!.at(-1)!), reading);
        reading = null;
      }
      together = Math.max(together, running.size);
      for (const [text, own] of await batch.step()) {
        const i = running.get(text)!;
        got[i]!.push(likeliest(own));
        if (isDone(i)) {
          await batch.leave(text);
          running.delete(text);
        } else batch.push(text, got[i]!.at(-1)!);
      }
    }
    expect(together).toBe(3);
    for (const [i, { prompt, count }] of asked.entries())
      expect(got[i], `text ${i}`).toEqual((await alone.generate([prompt], { maxTokens: count, stop: [] }))[0]);
    await batch.close();
    await alone.close();
  });
});

describe('a running batch', () => {
  const [, model] = models[0]!;
  const made = async (rows = 2) => {
    const executor = await open();
    return runningBatch(
      { voices: ['a', 'b'], alone: () => model, mixed: () => ({ model, assign: async () => {} }) },
      {
        executor,
        context: length,
        rows,
      },
    );
  };
  type Batch = Awaited<ReturnType<typeof made>>;
  const joined = async (batch: Batch, voice: string, prompt: readonly number[]) => {
    const known = await batch.begin(voice, prompt);
    let logits = await batch.read();
    while (!logits) logits = await batch.read();
    return { known, logits, text: await batch.join(likeliest(logits)) };
  };
  const onward = async (batch: Batch, text: RunningText<string>, count: number): Promise<void> => {
    for (let i = 0; i < count; i++)
      for (const [one, logits] of await batch.step()) if (one === text || i < count) batch.push(one, likeliest(logits));
  };

  test('reads of a prompt what no text of the same voice began with', async () => {
    const batch = await made();
    const { text } = await joined(batch, 'a', textOf(20, 0));
    await onward(batch, text, 3);
    const whole = [...text.tokens];
    await batch.leave(text);
    // All but the last token of it are in the cache.
    const turn = [...whole, ...textOf(10, 3)];
    const again = await joined(batch, 'a', turn);
    expect(again.known).toBe(whole.length - 1);
    await batch.leave(again.text);
    expect((await joined(batch, 'b', turn)).known).toBe(0);
    const fresh = await made();
    const { logits } = await joined(fresh, 'a', turn);
    expect(Math.max(...logits.map((v, i) => Math.abs(v - again.logits[i]!)))).toBeLessThan(1e-5);
    // A prompt that is known whole has its last token read for its logits.
    const same = await joined(batch, 'a', turn);
    expect(same.known).toBe(turn.length - 1);
    expect(Math.max(...logits.map((v, i) => Math.abs(v - same.logits[i]!)))).toBeLessThan(1e-5);
    for (const one of [batch, fresh]) await one.close();
  });

  test('goes on where the slots of its cache run out', async () => {
    const batch = await made();
    const first = await joined(batch, 'a', textOf(120, 0));
    const second = await joined(batch, 'a', textOf(4, 1));
    await batch.leave(first.text);
    await joined(batch, 'a', textOf(6, 2));
    await onward(batch, second.text, 130);
    const executor = await open();
    const alone = generator(model, { executor, context: length });
    const [wanted] = await alone.generate([textOf(4, 1)], { maxTokens: 131, stop: [] });
    expect(second.text.tokens.slice(4)).toEqual(wanted);
    await alone.close();
    await batch.close();
  });

  test('compiles nothing once it is made', async () => {
    const executor = await open();
    let compiled = 0;
    const counting = {
      ...executor,
      compile: (...given: Parameters<typeof executor.compile>) => {
        compiled++;
        return executor.compile(...given);
      },
    };
    const mixed = () => ({ model, assign: async () => {} });
    const batch = await runningBatch(
      { voices: ['a', 'b'], alone: () => model, mixed },
      {
        executor: counting,
        context: length,
        rows: 3,
      },
    );
    const before = compiled;
    const texts: RunningText<string>[] = [];
    for (const [i, voice] of ['a', 'b', 'a'].entries()) {
      texts.push((await joined(batch, voice, textOf(40 * (i + 1), i))).text);
      await onward(batch, texts[0]!, 1);
    }
    for (const text of texts) {
      await batch.leave(text);
      await onward(batch, text, 1);
    }
    await joined(batch, 'b', textOf(40, 0));
    expect(compiled).toBe(before);
    // A voice that comes needs programs of its own, one that stays has them.
    const put = await batch.prepare({ voices: ['a', 'b', 'c'], alone: () => model, mixed });
    expect(compiled - before).toBe(3 + 2);
    await put();
    await onward(batch, batch.texts()[0]!, 1);
    expect(compiled - before).toBe(3 + 2);
    await batch.close();
  });

  test('refuses models whose prompts must be read at once', async () => {
    const wrapped = model.with({ around: { mlp: new Map([[model.paths('mlp')[0]!, [(x, next) => next(x)]]]) } });
    const [path, linear] = [...model.linears][0]!;
    const across = model.with({ linears: new Map([[path, { ...linear, acrossRows: true }]]) });
    expect([model, wrapped, across].map((one) => canRun(one))).toEqual([true, false, false]);
    const remembering = model.with({
      linears: new Map([
        [
          path,
          {
            ...linear,
            apply: (x: Tensor, call: Parameters<typeof linear.apply>[1]) => {
              call.pass.keep('mine', constant(Float32Array.of(1), [1]));
              return linear.apply(x, call);
            },
          },
        ],
      ]),
    });
    expect(canRun(remembering)).toBe(false);
    const executor = await open();
    const models = { voices: [0], alone: () => wrapped, mixed: () => expect.fail() };
    await expect(runningBatch(models, { executor, context: length })).rejects.toThrow('a generator of their own');
  });
});
