import type { Path } from './sites.ts';

/**
 * The purpose of a layer, whatever its path is called. Layers for `pooling` are those of torch's `MultiheadAttention` after a tower, where adapters of Hugging Face
 * PEFT change nothing: no target means them.
 */
export type Role =
  | 'query'
  | 'key'
  | 'value'
  | 'attn-out'
  | 'gate'
  | 'up'
  | 'down'
  | 'patch'
  | 'pooling'
  | 'router'
  | 'head';

/** A layer's rows that play a role: all of them, or a slice of the output of a fused layer. */
export interface Part {
  readonly path: Path;
  readonly role: Role;
  /** First of its outputs. */
  readonly start: number;
  /** How many outputs. */
  readonly size: number;
}

/**
 * A family's layers by role: the end of the path (the longest one counts), and the share of its outputs where it is fused: from the i-th of so many
 * equal parts on, `count` of them, by default one.
 */
export interface RoleRow {
  readonly role: Role;
  readonly name: string;
  readonly share?: readonly [index: number, of: number, count?: number];
}

/** The rows of a layer: those whose name says most of its path. */
const rowsAt = (path: Path, rows: readonly RoleRow[]): readonly RoleRow[] => {
  const fitting = rows.filter(({ name }) => path === name || path.endsWith(`.${name}`));
  const longest = Math.max(...fitting.map(({ name }) => name.length));
  return fitting.filter(({ name }) => name.length === longest);
};

/** The parts among some layers that play roles. */
export const partsOf = (
  layers: ReadonlyMap<Path, { readonly outDim: number }>,
  rows: readonly RoleRow[],
  roles: readonly Role[],
): readonly Part[] =>
  [...layers].flatMap(([path, { outDim }]) =>
    rowsAt(path, rows).flatMap(({ role, share: [index, of, count = 1] = [0, 1] }): Part[] =>
      roles.includes(role) ? [{ path, role, start: (outDim / of) * index, size: (outDim / of) * count }] : [],
    ),
  );
