import { constant, type Executor, evaluate } from '@peftjs/tensor';
import { differenceOf, mustBeNear, tolerances } from '@peftjs/tensor/testing';
import { type CausalLM, generate } from '@peftjs/transformer';
import type { Law } from '@peftjs/transformer/testing';
import { tokens } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { subjectOf, valuesOf } from './subject.ts';

const text = [3, 1, 4, 10, 5, 9, 2];

const causal = (of: MethodCase): Law => ({
  name: 'a token changes nothing before it, to the bit, and something from there on',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const { vocabSize } = adapted.base.config;
    const before = await valuesOf(adapted.model.logits(tokens(text)), executor);
    for (const at of [1, 4, text.length - 1]) {
      const after = await valuesOf(adapted.model.logits(tokens(text.with(at, 7))), executor);
      const part = (all: ArrayLike<number>, from: number, to: number): number[] =>
        Array.from(all).slice(from * vocabSize, to * vocabSize);
      mustBeNear(`logits before a changed token ${at}`, part(after, 0, at), part(before, 0, at), {
        tolerance: tolerances.exact,
        shape: [at, vocabSize],
      });
      if (differenceOf(part(after, at, at + 1), part(before, at, at + 1), { tolerance: tolerances.rounding }) === null)
        throw new Error(`another token ${at} left the logits at its place as they were`);
    }
  },
});

const alone = async (model: CausalLM, executor: Executor, row: readonly number[]): Promise<ArrayLike<number>> =>
  valuesOf(model.logits(tokens(row)), executor);

const padding = (of: MethodCase): Law => ({
  name: 'padding and other rows change nothing',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const { model, base } = adapted;
    const { vocabSize } = base.config;
    const other = [6, 6, 0, 12, 8];
    const gap = text.length - other.length;
    const mask = constant(
      Float32Array.from([...text.map(() => 1), ...other.map(() => 1)].toSpliced(text.length, 0, ...Array(gap).fill(0))),
      [2, text.length],
    );
    const places = text.map((_, i) => i);
    const positions = tokens(places, [...Array(gap).fill(0), ...places.slice(0, other.length)]);
    const { both } = await evaluate(
      { both: model.logits(tokens(text, [...Array(gap).fill(0), ...other]), { mask, positions }) },
      { executor },
    );
    const options = { tolerance: tolerances.rounding };
    const size = text.length * vocabSize;
    mustBeNear('logits of the longer row', both!.slice(0, size), await alone(model, executor, text), {
      ...options,
      shape: [text.length, vocabSize],
    });
    mustBeNear('logits of the padded row', both!.slice(size + gap * vocabSize), await alone(model, executor, other), {
      ...options,
      shape: [other.length, vocabSize],
    });
  },
});

const likeliest = async (model: CausalLM, executor: Executor, row: readonly number[]): Promise<number> => {
  const logits = Array.from(await valuesOf(model.logits(tokens(row), { lastOnly: true }), executor));
  return logits.indexOf(Math.max(...logits));
};

const generation = (of: MethodCase): Law => ({
  name: 'generation with a cache gives what full passes give',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const prompt = [text.slice(0, 2), text.slice(1, 6)];
    const got = await generate(adapted.model, { executor, prompt, maxTokens: 4 });
    for (const [i, row] of prompt.entries()) {
      const wanted = [...row];
      for (let n = 0; n < 4; n++) wanted.push(await likeliest(adapted.model, executor, wanted));
      if (got[i]!.join() !== wanted.slice(row.length).join())
        throw new Error(
          `after ${row.join(' ')} it generates ${got[i]!.join(' ')}, full passes ${wanted.slice(row.length).join(' ')}`,
        );
    }
  },
});

/** The laws along a sequence. */
export const sequenceLaws = (of: MethodCase): readonly Law[] =>
  of.row.causal === false ? [padding(of)] : [causal(of), padding(of), generation(of)];
