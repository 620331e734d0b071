import { concat, constant, type Executor, evaluate, type Tensor } from '@peftjs/tensor';
import { differenceOf, mustBeNear, tolerances } from '@peftjs/tensor/testing';
import { type CausalLM, generate, type Inputs, type TaskModel } from '@peftjs/transformer';
import type { Law } from '@peftjs/transformer/testing';
import { tokens } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { picturesOf, subjectOf, valuesOf } from './subject.ts';

const text = [3, 1, 4, 10, 5, 9, 2];

const other = [6, 6, 0, 12, 8];

/** A text for the tower that the task reads, and another for a tower before it. */
const reading = ({ towers, main }: TaskModel, row: readonly number[]): Inputs =>
  Object.fromEntries(towers.map((tower) => [tower.reads.ids, tokens(tower === main ? row : row.toReversed())]));

const causal = (of: MethodCase): Law => ({
  name: 'a token changes nothing before it, to the bit, and something from there on',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const { vocabSize } = adapted.base.config;
    const { main } = adapted.base;
    const pass = reading(adapted.base, text);
    const before = await valuesOf(adapted.model.outputs(pass), executor);
    for (const at of [1, 4, text.length - 1]) {
      const changed = { ...pass, [main.reads.ids]: tokens(text.with(at, 7)) };
      const after = await valuesOf(adapted.model.outputs(changed), executor);
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

/** Texts filled up on the right, in every tower, as a model takes them that places tokens by itself. */
const filledUp = (of: MethodCase): Law => ({
  name: 'padding and other rows change nothing',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const { model, base } = adapted;
    const gap = text.length - other.length;
    const fill = (row: readonly number[], value: number): number[] => [...row, ...Array<number>(gap).fill(value)];
    const masked = base.towers.map((tower) => {
      const rows = tower === base.main ? [text, other] : [text.toReversed(), other.toReversed()];
      const shown = [...text.map(() => 1), ...fill(Array<number>(other.length).fill(1), 0)];
      return {
        [tower.reads.ids]: tokens(rows[0]!, fill(rows[1]!, 7)),
        [tower.reads.mask]: constant(Float32Array.from(shown), [2, text.length]),
      };
    });
    const both = Array.from(await valuesOf(model.outputs(Object.assign({}, ...masked)), executor));
    for (const [i, row] of [text, other].entries()) {
      const wanted = await valuesOf(model.outputs(reading(base, row)), executor);
      const start = (i * both.length) / 2;
      mustBeNear(`logits of row ${i}`, both.slice(start, start + wanted.length), wanted, {
        tolerance: tolerances.rounding,
      });
    }
  },
});

const alone = async (model: CausalLM, executor: Executor, row: readonly number[]): Promise<ArrayLike<number>> =>
  valuesOf(model.logits(tokens(row)), executor);

const padding = (of: MethodCase): Law => ({
  name: 'padding and other rows change nothing',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const [model, base] = [adapted.model as CausalLM, adapted.base];
    const { vocabSize } = base.config;
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
    const model = adapted.model as CausalLM;
    const prompt = [text.slice(0, 2), text.slice(1, 6)];
    const got = await generate(model, { executor, prompt, maxTokens: 4 });
    for (const [i, row] of prompt.entries()) {
      const wanted = [...row];
      for (let n = 0; n < 4; n++) wanted.push(await likeliest(model, executor, wanted));
      if (got[i]!.join() !== wanted.slice(row.length).join())
        throw new Error(
          `after ${row.join(' ')} it generates ${got[i]!.join(' ')}, full passes ${wanted.slice(row.length).join(' ')}`,
        );
    }
  },
});

/** Where a text's later tokens change what came before, full passes give something else than the cache; but a batch still gives what each gives alone. */
const inBatches = (of: MethodCase): Law => ({
  name: 'generation of a batch of unlike lengths gives what each gives alone',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const model = adapted.model as CausalLM;
    const prompts = [text.slice(0, 2), text.slice(1, 6)];
    const generated = (prompt: number[][]): Promise<readonly (readonly number[])[]> =>
      generate(model, { executor, prompt, maxTokens: 4 });
    const together = await generated(prompts);
    for (const [i, prompt] of prompts.entries()) {
      const [alone] = await generated([prompt]);
      if (together[i]!.join() !== alone!.join())
        throw new Error(
          `after ${prompt.join(' ')} it generates ${together[i]!.join(' ')} in a batch, ${alone!.join(' ')} alone`,
        );
    }
  },
});

const pictures = (of: MethodCase): Law => ({
  name: 'other pictures of a batch change nothing',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const { main } = adapted.base;
    const [first, second] = [picturesOf(main, 1, 2), picturesOf(main, 1, 3)];
    const logits = (pixels: Tensor): Promise<ArrayLike<number>> =>
      valuesOf(adapted.model.outputs({ [main.reads.ids]: pixels }), executor);
    const both = Array.from(await logits(concat(first, second, { axis: 0 })));
    for (const [i, one] of [first, second].entries()) {
      const wanted = await logits(one);
      mustBeNear(`logits of picture ${i}`, both.slice(i * wanted.length, (i + 1) * wanted.length), wanted, {
        tolerance: tolerances.rounding,
      });
    }
  },
});

const together = (of: MethodCase): Law => ({
  name: 'other texts of a batch change what one gives, as its row says',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const { model, base } = adapted;
    const two = (second: readonly number[]): Inputs =>
      Object.fromEntries(base.towers.map(({ reads }) => [reads.ids, tokens(text, second)]));
    const first = async (second: readonly number[]): Promise<number[]> => {
      const both = Array.from(await valuesOf(model.outputs(two(second)), executor));
      return both.slice(0, both.length / 2);
    };
    const options = { tolerance: tolerances.rounding };
    if (differenceOf(await first(text), await first(text.toReversed()), options) === null)
      throw new Error('another text beside it changes nothing; leave together out of the row');
  },
});

/** The laws along a sequence: those of what comes before where a tower sees no further, those of generation where it can go on by itself. */
export const sequenceLaws = (of: MethodCase): readonly Law[] => {
  const { towers, main } = of.base();
  if (main.reads.picture) return [pictures(of)];
  const before = main.attends === 'before' && of.row.causal !== false;
  if (of.row.together) return [...(before ? [causal(of)] : []), together(of)];
  const alone = main.attends === 'before' && towers.length === 1;
  return [
    ...(before ? [causal(of)] : []),
    alone ? padding(of) : filledUp(of),
    ...(before && alone ? [generation(of)] : []),
    ...(!before && alone ? [inBatches(of)] : []),
  ];
};
