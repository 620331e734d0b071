import type { State } from '@peftjs/core';
import type { Path } from '@peftjs/transformer';
import type { Mask } from './mask.ts';

/** Some entries of trained matrices: their places, and a state that holds them alone. */
export interface Entries {
  readonly mask: Mask;
  readonly state: State;
}

/** The entries of the matrices `<path>.<name>` of a state for which `holds`, as sparse values; other tensors of those paths are left out, those of others stay. */
export const entriesOf = (
  state: State,
  name: string,
  holds: (path: Path, place: number, value: number) => boolean,
): Entries => {
  const mask: Record<Path, Int32Array> = {};
  const paths = new Set(
    [...state.keys()].flatMap((n) => (n.endsWith(`.${name}`) ? [n.slice(0, -name.length - 1)] : [])),
  );
  const isOf = (full: string): boolean => paths.has(full.slice(0, full.lastIndexOf('.')));
  const left = new Map([...state].filter(([full]) => !isOf(full)));
  for (const path of paths) {
    const { data } = state.get(`${path}.${name}`)!;
    const places = Int32Array.from(Array.from(data.keys()).filter((place) => holds(path, place, data[place]!)));
    if (places.length === 0) continue;
    mask[path] = places;
    const shape = [places.length];
    left.set(`${path}.sparse_values`, { shape, data: Float32Array.from(places, (place) => data[place]!) });
    left.set(`${path}.sparse_index`, { shape, data: places });
  }
  return { mask, state: left };
};
