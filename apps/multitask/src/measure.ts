import type { Batch } from '@peftjs/data';
import { ignored } from '@peftjs/data';
import { argmax, compile, type Executor, input, slice } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';

/** How well a task is done. */
export interface Score {
  /** Share of examples of whose answer every token is the likeliest, given those before it. */
  readonly exact: number;
  /** Mean loss of the answers' tokens, in nats. */
  readonly loss: number;
}

/** Scores of a view of a model on batches of one shape, by name. */
export const measure = async (
  model: CausalLM,
  sets: Readonly<Record<string, readonly Batch[]>>,
  executor: Executor,
): Promise<Record<string, Score>> => {
  const { shapes, columns } = Object.values(sets)[0]![0]!;
  const inputs = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      input(name, shape, columns[name] instanceof Float32Array ? 'f32' : 'i32'),
    ]),
  );
  const [rows, tokens] = shapes['ids'] as readonly [number, number];
  const { labels: _, ...read } = inputs;
  const logits = model.outputs(read);
  // Rows that a prompt puts in front have logits too.
  const own = slice(logits, { axis: 1, start: logits.shape[1]! - tokens, end: logits.shape[1]! });
  const { sum, weight } = model.loss(inputs);
  const program = await compile({ outputs: { best: argmax(own, { axis: 2 }), sum, weight } }, { executor });
  const scores: Record<string, Score> = {};
  try {
    for (const [name, batches] of Object.entries(sets)) {
      let [exact, examples, loss, weights] = [0, 0, 0, 0];
      for (const batch of batches) {
        const results = await program.run(batch.columns);
        const labels = batch.columns['labels']!;
        for (let row = 0; row < rows; row++) {
          const at = Array.from({ length: tokens }, (__, t) => row * tokens + t).filter((i) => labels[i] !== ignored);
          if (at.every((i) => results['best']![i] === labels[i])) exact++;
          examples++;
        }
        loss += results['sum']![0]!;
        weights += results['weight']![0]!;
      }
      scores[name] = { exact: exact / examples, loss: loss / weights };
    }
  } finally {
    program.close();
  }
  return scores;
};
