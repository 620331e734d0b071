import type { State } from '@peftjs/core';

/** Ranks that were kept, by the path of the layer. */
export type KeptRanks = Readonly<Record<string, number>>;

const gate = '.lora_gate';

/** The gates of a state that are not zero, by the path of their layer. */
const openGates = (state: State): ReadonlyMap<string, readonly boolean[]> =>
  new Map(
    [...state].flatMap(([name, { data }]) =>
      name.endsWith(gate) ? [[name.slice(0, -gate.length), Array.from(data, (v) => v !== 0)] as const] : [],
    ),
  );

/** A trained state without the ranks whose gate is zero; null where there is nothing to leave out, or nothing would be left at all. */
export const pruned = (state: State): { readonly ranks: KeptRanks; readonly state: State } | null => {
  const open = openGates(state);
  const all = [...open.values()].flat();
  if (!all.includes(true) || !all.includes(false)) return null;
  const left = new Map(
    [...state].flatMap(([name, tensor]): [string, typeof tensor][] => {
      const [, path, part] = /^(.*)\.(lora_A|lora_gate|lora_B)$/.exec(name) ?? [];
      const kept = path === undefined ? undefined : open.get(path);
      if (!kept) return [[name, tensor]]; // trained beside: biases, modules
      const rank = kept.filter(Boolean).length;
      if (rank === 0) return [];
      const { shape, data } = tensor;
      const width = part === 'lora_A' ? shape[1]! : 1;
      const values = Float32Array.from(data).filter((_, i) => kept[Math.floor(i / width) % kept.length]);
      const final = part === 'lora_A' ? [rank, width] : part === 'lora_B' ? [shape[0]!, rank] : [rank];
      return [[name, { shape: final, data: values }]];
    }),
  );
  return {
    ranks: Object.fromEntries([...open].map(([path, kept]) => [path, kept.filter(Boolean).length])),
    state: left,
  };
};
