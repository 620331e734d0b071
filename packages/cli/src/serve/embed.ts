import { compile, div, type Executable, type Executor, input, mul, reshape, sqrt, sum } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';

/** Makes vectors of texts. */
export interface Embedder {
  /** Of each text the mean of its tokens' states after the last block, brought to length 1. */
  of(model: CausalLM, texts: readonly Int32Array[]): Promise<readonly Float32Array[]>;
  /** Frees what was compiled for a model. */
  forget(model: CausalLM): void;
  close(): void;
}

/** Lengths are filled up to a multiple of this: each is a program of its own. */
const lengthStep = 32;

/** Makes an embedder that compiles one program for each model and length. */
export const embedder = (executor: Executor): Embedder => {
  const programs = new Map<CausalLM, Map<number, Executable>>();
  const programFor = async (model: CausalLM, tokens: number): Promise<Executable> => {
    const own = programs.get(model) ?? new Map<number, Executable>();
    programs.set(model, own);
    const known = own.get(tokens);
    if (known) return known;
    const states = model.hidden(input('ids', [1, tokens], 'i32'));
    // Tokens look back alone, so what fills a text up changes nothing of it.
    const counted = mul(states, reshape(input('mask', [1, tokens]), [1, tokens, 1]));
    const total = sum(counted, { axes: [1] });
    // The length of the mean is that of the sum, up to a factor that the division takes out.
    const vector = div(total, sqrt(sum(mul(total, total), { axes: [1], keepDims: true })));
    const made = await compile({ outputs: { vector } }, { executor });
    own.set(tokens, made);
    return made;
  };
  const forget = (model: CausalLM): void => {
    for (const program of programs.get(model)?.values() ?? []) program.close();
    programs.delete(model);
  };
  return {
    of: async (model, texts) => {
      const vectors: Float32Array[] = [];
      for (const text of texts) {
        const tokens = Math.min(
          Math.ceil(text.length / lengthStep) * lengthStep,
          Math.min(model.config.maxPositions, model.positionsLeft),
        );
        const [ids, mask] = [new Int32Array(tokens), new Float32Array(tokens)];
        ids.set(text);
        mask.fill(1, 0, text.length);
        const { vector } = await (await programFor(model, tokens)).run({ ids, mask });
        vectors.push((vector as Float32Array).slice());
      }
      return vectors;
    },
    forget,
    close: () => {
      for (const model of programs.keys()) forget(model);
    },
  };
};
