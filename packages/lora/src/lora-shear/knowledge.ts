import type { PrepareOptions } from '@peftjs/core';
import { inputsOf } from '@peftjs/core/collect';
import { buildProgram, compile, input, mul, slice } from '@peftjs/tensor';
import { type Linear, meanOf, type Path, type TaskModel } from '@peftjs/transformer';
import type { PruneGroup } from '../lora-prune/prune-groups.ts';

/** How much each group is there, [groups]. */
const presence = 'lora_shear_presence';

/** The mean loss of examples without each group as a whole, in their order: where the knowledge lies. */
export const lossesWithout = async (
  model: TaskModel,
  groups: readonly PruneGroup[],
  { executor, data }: PrepareOptions,
): Promise<readonly number[]> => {
  const there = input(presence, [groups.length]);
  const gated = ({ reader }: PruneGroup, i: number): readonly [Path, Linear] => {
    const base = model.linears.get(reader)!;
    const own = slice(there, { axis: 0, start: i, end: i + 1 });
    return [reader, { ...base, apply: (x, call) => base.apply(mul(x, own), call) }];
  };
  const view = model.with({ linears: new Map(groups.map(gated)) }) as TaskModel;
  const sums = groups.map(() => 0);
  for (const batch of data) {
    const spec = { outputs: { loss: meanOf(view.loss(inputsOf(batch))) } };
    const reads = buildProgram(spec).inputs.map(({ name }) => name);
    const program = await compile(spec, { executor });
    try {
      const columns = Object.fromEntries(
        reads.filter((name) => name !== presence).map((name) => [name, batch.columns[name]!]),
      );
      for (const i of groups.keys()) {
        const gone = Float32Array.from(groups, (_, other) => (other === i ? 0 : 1));
        sums[i]! += (await program.run({ ...columns, [presence]: gone }))['loss']![0]!;
      }
    } finally {
      program.close();
    }
  }
  return sums.map((sum) => sum / data.length);
};
