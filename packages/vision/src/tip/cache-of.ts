import type { Examples, PrepareOptions } from '@peftjs/core';
import { inputsOf } from '@peftjs/core/collect';
import { broadcastTo, buildProgram, compile, constant, type Executable, PeftError, type Tensor } from '@peftjs/tensor';
import type { Around, Inputs, TaskModel } from '@peftjs/transformer';
import { addLogits } from './add-logits.ts';
import type { TipCache } from './tip-cache.ts';

/** The vectors of pictures that a task compares with those of its classes, of length 1. */
const vectorsOf = (model: TaskModel, inputs: Inputs): Tensor => {
  let seen: Tensor | undefined;
  const look: Around<'model'> = (given, next, { pass }) => {
    addLogits(pass, (vectors, classes) => {
      seen = vectors;
      return broadcastTo(constant(Float32Array.of(0), []), [vectors.shape[0]!, classes]);
    });
    return next(given);
  };
  model.with({ around: { model: new Map(model.paths('model').map((path) => [path, [look]])) } }).outputs(inputs);
  return seen!;
};

/** The labels of a batch. Throws `bad-option`, `bad-data`. */
const labelsIn = ({ rows, columns }: Examples, classes: number): ArrayLike<number> => {
  const { labels } = columns;
  if (labels?.length !== rows)
    throw new PeftError(
      'bad-option',
      `tipAdapter: its cache is made of pictures and their classes; the examples have the columns ${Object.keys(columns).join(', ')}, and labels must hold one number for each of their ${rows} rows`,
    );
  const odd = labels.find((label) => label !== -100 && (label < 0 || label >= classes));
  if (odd === undefined) return labels;
  throw new PeftError('bad-data', `tipAdapter: labels holds ${odd}; the classes are 0 to ${classes - 1}`);
};

/**
 * The vectors of all pictures of some examples that have a label, as the model makes them. Throws `bad-option` where the model's task has no classes, or no example has a
 * label, `bad-data` for a label that is no class, `diverged`.
 */
export const cacheOf = async (model: TaskModel, { data, executor }: PrepareOptions): Promise<TipCache> => {
  const { task } = model;
  const classes = task.labels?.length;
  if (task.head !== 'imageText' || classes === undefined)
    throw new PeftError(
      'bad-option',
      `tipAdapter: its cache is made of pictures and their classes, and the task ${task.name} has none; load the model for zeroShot`,
    );
  const programs = new Map<string, readonly [program: Executable, reads: readonly string[]]>();
  const [keys, found]: [number[][], number[]] = [[], []];
  try {
    for (const batch of data) {
      const labels = labelsIn(batch, classes);
      const key = JSON.stringify(batch.shapes);
      if (!programs.has(key)) {
        const spec = { outputs: { vectors: vectorsOf(model, inputsOf(batch)) } };
        programs.set(key, [await compile(spec, { executor }), buildProgram(spec).inputs.map(({ name }) => name)]);
      }
      const [program, reads] = programs.get(key)!;
      const { vectors } = await program.run(Object.fromEntries(reads.map((name) => [name, batch.columns[name]!])));
      const width = vectors!.length / batch.rows;
      for (let row = 0; row < batch.rows; row++) {
        if (labels[row] === -100) continue;
        keys.push(Array.from(vectors!.subarray(row * width, (row + 1) * width)));
        found.push(labels[row]!);
      }
    }
  } finally {
    for (const [program] of programs.values()) program.close();
  }
  if (keys.length === 0) throw new PeftError('bad-option', 'tipAdapter: none of the examples has a label; give some');
  const all = Float32Array.from(keys.flat());
  if (!all.every(Number.isFinite))
    throw new PeftError('diverged', 'tipAdapter: the vectors of the examples are not finite; look at their pixels');
  return { pictures: keys.length, width: keys[0]!.length, classes, keys: all, labels: Int32Array.from(found) };
};
