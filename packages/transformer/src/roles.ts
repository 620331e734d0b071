import type { Path } from './sites.ts';

/** The purpose of a layer, whatever its path is called. */
export type Role = 'query' | 'key' | 'value' | 'attn-out' | 'gate' | 'up' | 'down' | 'head';

/** A layer's rows that play a role: all of them, or a slice of the output of a fused layer. */
export interface Part {
  readonly path: Path;
  readonly role: Role;
  /** First of its outputs. */
  readonly start: number;
  /** How many outputs. */
  readonly size: number;
}

/** A family's layers by role: the end of the path, and the share of its outputs where it is fused: the i-th of so many equal ones. */
export interface RoleRow {
  readonly role: Role;
  readonly name: string;
  readonly share?: readonly [index: number, of: number];
}

/** The parts among some layers that play roles. */
export const partsOf = (
  layers: ReadonlyMap<Path, { readonly outDim: number }>,
  rows: readonly RoleRow[],
  roles: readonly Role[],
): readonly Part[] =>
  [...layers].flatMap(([path, { outDim }]) =>
    rows.flatMap(({ role, name, share: [index, of] = [0, 1] }): Part[] =>
      roles.includes(role) && (path === name || path.endsWith(`.${name}`))
        ? [{ path, role, start: (outDim / of) * index, size: outDim / of }]
        : [],
    ),
  );
