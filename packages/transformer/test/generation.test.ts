import { concat, constant, type Executor, evaluate, reference, type Tensor, transpose } from '@peftjs/tensor';
import { afterEach, describe, expect, test } from 'vitest';
import { type Around, type CausalLM, type GeneratedToken, generate, generator } from '../src/index.ts';
import { tokens } from './run.ts';
import { type Subject, subjects } from './subjects.ts';

const changes = { layers: 1, maxPositions: 48 };

const wave = (shape: readonly number[], salt: number): Tensor =>
  constant(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + salt)),
    shape,
  );

const soften: Around<'embed'> = (x, next, { pass }) => {
  const rows = wave([1, 3, 8], 1);
  return concat(pass.batch === 1 ? rows : concat(rows, rows, { axis: 0 }), next(x), { axis: 1 });
};
const prefix: Around<'kv'> = (kv, next, { pass }) => {
  const { k, v } = next(kv);
  const [, keyHeads, , headDim] = k.shape as readonly [number, number, number, number];
  const rows = (salt: number): Tensor => {
    const one = transpose(wave([1, 2, keyHeads, headDim], salt), [0, 2, 1, 3]);
    return pass.batch === 1 ? one : concat(one, one, { axis: 0 });
  };
  return { k: concat(rows(2), k, { axis: 2 }), v: concat(rows(3), v, { axis: 2 }) };
};
const at = <T>(path: string, around: T): ReadonlyMap<string, readonly T[]> => new Map([[path, [around]]]);

const variants = ({ model: base }: Subject): readonly (readonly [string, CausalLM])[] => {
  const embed = at(base.paths('embed')[0]!, soften);
  const kv = at(base.paths('kv')[0]!, prefix);
  return [
    ['the model alone', base],
    ['rows in front of the prompt', base.with({ around: { embed } })],
    ['keys in front of the cache', base.with({ around: { kv } })],
    ['both', base.with({ around: { embed, kv }, positionShift: 2 })],
  ];
};

/** Greedy tokens without any cache: the whole text again for each one. */
const uncached = async (model: CausalLM, prompt: readonly number[], count: number): Promise<number[]> => {
  const text = [...prompt];
  for (let i = 0; i < count; i++) {
    const { l } = await evaluate({ l: model.logits(tokens(text), { lastOnly: true }) }, { executor: reference() });
    text.push(l!.indexOf(Math.max(...l!)));
  }
  return text.slice(prompt.length);
};

const prompts = [
  [1, 5, 2],
  [7, 7, 3, 12, 4, 1, 9],
] as const;
const closing: (() => Promise<void>)[] = [];
const made = (model: CausalLM, context?: number, executor: Executor = reference()): ReturnType<typeof generator> => {
  const g = generator(model, { executor, ...(context === undefined ? {} : { context }) });
  closing.push(g.close);
  return g;
};
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe.each(subjects)('%s', (_, make) => {
  const { config, model: base, build, weights } = make(changes, 3);

  describe.each(variants(make(changes, 3)))('generation with a cache: %s', (_, model) => {
    test('equals recomputing the whole text, alone and in a batch of other lengths', async () => {
      const expected = [await uncached(model, prompts[0], 6), await uncached(model, prompts[1], 6)];
      const g = made(model, 14);
      expect(await g.generate([prompts[0]], { maxTokens: 6 })).toEqual([expected[0]]);
      expect(await g.generate(prompts, { maxTokens: 6 })).toEqual(expected);
      expect(await g.generate([prompts[1]], { maxTokens: 6 })).toEqual([expected[1]]);
    });

    test('draws the same tokens from the same seed, alone and in a batch', async () => {
      const options = { maxTokens: 5, temperature: 1.5, topK: 9, topP: 0.95, seed: 11 };
      const g = made(model, 14);
      const together = await g.generate(prompts, options);
      expect(await g.generate([prompts[0]], options)).toEqual([together[0]]);
      expect(await g.generate([prompts[1]], { ...options, seed: 12 })).toEqual([together[1]]);
      expect(await g.generate(prompts, options)).toEqual(together);
    });
  });

  describe('generator', () => {
    test('a prompt longer than one bucket', async () => {
      const prompt = Array.from({ length: 37 }, (_, i) => (i * 7) % config.vocabSize);
      expect(await made(base).generate([prompt], { maxTokens: 3 })).toEqual([await uncached(base, prompt, 3)]);
    });

    test('streams each step, row by row', async () => {
      const seen: GeneratedToken[] = [];
      for await (const token of made(base, 10).stream(prompts, { maxTokens: 3 })) seen.push(token);
      expect(seen.map(({ row }) => row)).toEqual([0, 1, 0, 1, 0, 1]);
      expect(seen.filter(({ row }) => row === 1).map(({ token }) => token)).toEqual(
        await uncached(base, prompts[1], 3),
      );
    });

    test('a stop token ends its row alone and is not given out; by default it is the end of text', async () => {
      const [first, second] = [await uncached(base, prompts[0], 6), await uncached(base, prompts[1], 6)];
      const stop = first[2]!;
      const until = (row: readonly number[]): readonly number[] =>
        row.includes(stop) ? row.slice(0, row.indexOf(stop)) : row;
      expect(await made(base, 14).generate(prompts, { maxTokens: 6, stop: [stop] })).toEqual([
        until(first),
        until(second),
      ]);
      const { model: ending } = make({ ...changes, eosIds: [stop] }, 3);
      expect(await made(ending, 14).generate([prompts[0]], { maxTokens: 6 })).toEqual([until(first)]);
      expect(await made(ending, 14).generate([prompts[0]], { maxTokens: 6, stop: [] })).toEqual([first]);
    });

    test('without maxTokens fills the context', async () => {
      expect((await made(base, 9).generate([prompts[0]]))[0]).toHaveLength(6);
    });

    test('other seeds draw other tokens', async () => {
      const g = made(base, 14);
      const draw = (seed: number): Promise<number[][]> =>
        g.generate([prompts[0]], { maxTokens: 8, temperature: 2, seed });
      expect(await draw(1)).not.toEqual(await draw(2));
    });

    test('refuses a second stream while one is open, and goes on after it was left', async () => {
      const g = made(base, 10);
      const open = g.stream([prompts[0]]);
      await open.next();
      await expect(g.generate([prompts[0]])).rejects.toThrow(/another stream is open/);
      await open.return();
      expect((await g.generate([prompts[0]], { maxTokens: 1 }))[0]).toHaveLength(1);
    });

    test('close frees the cache', async () => {
      const executor = reference();
      const g = generator(base, { executor, context: 8 });
      await g.generate([prompts[0]], { maxTokens: 2 });
      const before = executor.memory().now;
      await g.close();
      // k and v of one layer: 2 heads, 8 + 31 slots, held in double precision here.
      expect(before - executor.memory().now).toBe(2 * 2 * 39 * base.main.headDim * 8);
      await expect(g.generate([prompts[0]])).rejects.toThrow(/it is closed; make a new one/);
    });

    test('closed while a stream is open: the stream says so instead of going on without its cache', async () => {
      const between = generator(base, { executor: reference(), context: 10 });
      const open = between.stream([prompts[0]]);
      expect(await open.next()).toMatchObject({ done: false });
      await between.close();
      await expect(open.next()).rejects.toMatchObject({
        code: 'bad-program',
        message: expect.stringContaining('closed'),
      });

      const during = generator(base, { executor: reference(), context: 10 });
      const waiting = during.stream([prompts[0]]).next();
      await Promise.all([expect(waiting).rejects.toMatchObject({ code: 'bad-program' }), during.close()]);
    });

    test('weights that diverged are told, greedy or not', async () => {
      const broken = base.with({
        around: {
          head: new Map([
            ['lm_head', [(x, next) => next(concat(x, constant(new Float32Array(0), [1, 0, 8]), { axis: 1 }))]],
          ]),
        },
      });
      expect(await made(broken, 8).generate([prompts[0]], { maxTokens: 1 })).toHaveLength(1);
      const final = `${base.paths('norm').at(-1)!}.weight`;
      const diverged = build({
        ...weights,
        load: (name, shape) => (name === final ? new Float32Array(8).fill(Number.NaN) : weights.load(name, shape)),
      });
      for (const temperature of [0, 1])
        await expect(made(diverged, 8).generate([prompts[0]], { maxTokens: 1, temperature })).rejects.toThrow(
          /not finite numbers/,
        );
    });

    test.each([
      [
        'options out of range',
        [[1]],
        { temperature: -1, topK: 1.5, topP: 0 },
        /temperature must be .* got -1; topK must be .* got 1\.5; topP must be .* got 0/,
      ],
      [
        'an empty prompt and a foreign token',
        [[], [1, 13]],
        {},
        /prompt 0 is empty.*prompt 1 has token 13, the vocabulary is 0 to 12/,
      ],
      [
        'too long a prompt',
        [[1, 2, 3]],
        { maxTokens: 8 },
        /prompt 0 has 3 tokens, with 8 more it exceeds the context of 10/,
      ],
      ['no prompt', [], {}, /there is no prompt/],
      ['no tokens', [[1]], { maxTokens: 0 }, /maxTokens must be a whole number of at least 1, got 0/],
    ])('%s are refused', async (_, list, options, message) => {
      await expect(made(base, 10).generate(list, options)).rejects.toThrow(message);
    });

    test('a context that the model does not have is refused', () => {
      expect(() => generator(base, { executor: reference(), context: 49 })).toThrow(/from 2 to the model's 48, got 49/);
    });

    test('middleware that puts keys into the cache instead of before it is refused', async () => {
      const wrong: Around<'kv'> = ({ k, v }, next) =>
        next({ k: concat(k, k, { axis: 2 }), v: concat(v, v, { axis: 2 }) });
      const model = base.with({ around: { kv: at(base.paths('kv')[0]!, wrong) } });
      await expect(made(model, 10).generate([prompts[0]])).rejects.toThrow(
        /rows in front are to be added to what next returns/,
      );
    });
  });

  describe('generate', () => {
    test('continues one prompt, or a list of them', async () => {
      const executor = reference();
      const expected = [await uncached(base, prompts[0], 4), await uncached(base, prompts[1], 4)];
      expect(await generate(base, { executor, prompt: prompts[0], maxTokens: 4 })).toEqual(expected[0]);
      expect(await generate(base, { executor, prompt: prompts, maxTokens: 4 })).toEqual(expected);
      expect(await generate(base, { executor, prompt: Int32Array.from(prompts[0]), maxTokens: 4 })).toEqual(
        expected[0],
      );
      await expect(generate(base, { executor, prompt: [], maxTokens: 4 })).rejects.toThrow(/prompt 0 is empty/);
      await expect(generate(base, { executor, prompt: [1], maxTokens: 400 })).rejects.toThrow(
        /exceeds the context of 48/,
      );
    });
  });
});
