import { broadcastTo, PeftError, reshape, type Tensor } from '@peftjs/tensor';
import type { Model, Part, Path, Role } from '@peftjs/transformer';

/** Structures of one kind that a layer reads side by side: the heads of an attention, the channels of an MLP. */
export interface PruneGroup {
  /** The layer that reads them. */
  readonly reader: Path;
  /** How many there are: its inputs are so many equal parts. */
  readonly count: number;
  /** The rows that make them, each of them in so many equal parts too. */
  readonly makers: readonly Part[];
}

interface Kind {
  readonly makers: readonly Role[];
  readonly reader: Role;
  /** The number of structures that rows of these sizes make. */
  count(model: Model, sizes: ReadonlyMap<Role, number>): number | undefined;
}

/** A head of keys and values goes with all heads of queries that share it. */
const kinds: readonly Kind[] = [
  {
    makers: ['query', 'key', 'value'],
    reader: 'attn-out',
    count: ({ towers }, sizes) =>
      towers.find(({ keyHeads, headDim }) => keyHeads * headDim === sizes.get('key'))?.keyHeads,
  },
  { makers: ['gate', 'up'], reader: 'down', count: (_, sizes) => sizes.get('up') },
];

/** The groups of a kind in the model's order. */
const groupsOf = (who: string, model: Model, { makers, reader, count }: Kind): PruneGroup[] => {
  const readers = model.parts([reader]);
  const byRole = makers.map((role) => [role, model.parts([role])] as const).filter(([, parts]) => parts.length > 0);
  return readers.map(({ path }, i): PruneGroup => {
    const own = byRole.map(([role, parts]) => [role, parts[i]!] as const);
    const sizes = new Map(own.map(([role, part]) => [role, part?.size ?? 0]));
    const number = count(model, sizes) ?? 0;
    const all = [model.linears.get(path)!.inDim, ...sizes.values()];
    if (number === 0 || byRole.some(([, { length }]) => length !== readers.length) || all.some((n) => n % number !== 0))
      throw new PeftError('bad-option', `${who}: the model does not tell which rows make what ${path} reads`);
    return { reader: path, count: number, makers: own.map(([, part]) => part) };
  });
};

/** All groups of a model by kind: those of attentions, those of MLPs. Throws `bad-option` where it does not tell its structures. */
export const structuresOf = (who: string, model: Model): readonly (readonly PruneGroup[])[] =>
  kinds.map((kind) => groupsOf(who, model, kind));

/** A number for each structure as one for each of `size` rows that make them, or inputs that read them: [count] -> [size]. */
export const spread = (numbers: Tensor, size: number): Tensor => {
  const [count] = numbers.shape as [number];
  return reshape(broadcastTo(reshape(numbers, [count, 1]), [count, size / count]), [size]);
};

/**
 * The groups that may lose structures: those with a layer among some, by which their importance is known. The first tenth of the attentions and of the MLPs, rounded down, and the last of each stay whole. Throws `bad-option` where the model does not
 * tell its structures, and where none is left.
 */
export const pruneGroups = (model: Model, chosen: ReadonlySet<Path>): readonly PruneGroup[] => {
  const groups = structuresOf('loraPrune', model)
    .flatMap((all) => all.filter((_, i, { length }) => i >= Math.floor(length / 10) && i < length - 1))
    .filter(({ reader, makers }) => chosen.has(reader) || makers.some(({ path }) => chosen.has(path)));
  if (groups.length === 0)
    throw new PeftError(
      'bad-option',
      'loraPrune: the first tenth of attentions and MLPs and the last of each stay whole, and target names no layer of others',
    );
  return groups;
};
