import { PeftError, type Tensor } from '@peftjs/tensor';
import type { Embedding } from './embedding.ts';
import type { Experts } from './experts.ts';
import type { Linear } from './linear.ts';
import type { ModelPatch, Recompute } from './model.ts';
import type { Norm } from './norm.ts';
import type { Pass } from './pass.ts';
import { type AroundTable, type Path, type SiteName, stackAround } from './sites.ts';

/** The layers of a model, and all that was put around them. */
export interface Parts {
  readonly linears: ReadonlyMap<Path, Linear>;
  readonly norms: ReadonlyMap<Path, Norm>;
  readonly embeddings: ReadonlyMap<Path, Embedding>;
  readonly experts: ReadonlyMap<Path, Experts>;
  readonly around: AroundTable;
  readonly positionShift: number;
  /** i32 [batch]; null where rows in front are there for every sequence. */
  readonly present: Tensor | null;
  /** Null for any. */
  readonly batchSize: number | null;
  readonly training: boolean;
  readonly recompute: Recompute;
  /** Whether the weights are no longer those of the folder that the model was loaded from. */
  readonly reweighted: boolean;
  /** Whether no method trains the task's own heads. */
  readonly headsKept: boolean;
  readonly watch: (pass: Pass) => void;
}

/** A linear layer by its path. Throws `no-match`. */
export const linearOf = ({ linears }: Parts, path: Path): Linear => {
  const layer = linears.get(path);
  if (!layer) throw new PeftError('no-match', `model: there is no linear layer ${path}`);
  return layer;
};

/** Of a model that nothing was done to. */
export const untouched: Omit<Parts, 'linears' | 'norms' | 'embeddings' | 'experts'> = {
  around: {},
  positionShift: 0,
  present: null,
  batchSize: null,
  training: false,
  recompute: false,
  reweighted: false,
  headsKept: false,
  watch: () => {},
};

const unknown = (what: string, given: Iterable<Path>, known: Iterable<Path>): string[] => {
  const all = new Set(known);
  return [...given]
    .filter((path) => !all.has(path))
    .map((path) => `${what} ${path} (there are ${[...all].join(', ')})`);
};

const replace = <T>(
  what: string,
  old: ReadonlyMap<Path, T>,
  given: ReadonlyMap<Path, T> | undefined,
  sizesOf: (part: T) => readonly number[],
): ReadonlyMap<Path, T> => {
  for (const [path, part] of given ?? []) {
    const [got, expected] = [sizesOf(part), sizesOf(old.get(path)!)];
    if (got.join() !== expected.join())
      throw new PeftError(
        'bad-shape',
        `with: ${what} ${path} is ${expected.join('x')}, its replacement ${got.join('x')}; they must be equal`,
      );
  }
  return given ? new Map([...old, ...given]) : old;
};

/** The parts with those of a patch in their place. Throws `no-match` with all paths that there are not, `bad-shape`. */
export const patchParts = (parts: Parts, patch: ModelPatch, paths: (site: SiteName) => readonly Path[]): Parts => {
  const problems = [
    ...unknown('linear', patch.linears?.keys() ?? [], parts.linears.keys()),
    ...unknown('norm', patch.norms?.keys() ?? [], parts.norms.keys()),
    ...unknown('embedding', patch.embeddings?.keys() ?? [], parts.embeddings.keys()),
    ...unknown('experts', patch.experts?.keys() ?? [], parts.experts.keys()),
    ...(Object.keys(patch.around ?? {}) as SiteName[]).flatMap((site) =>
      unknown(`site ${site} at`, patch.around![site]!.keys(), paths(site)),
    ),
  ];
  if (problems.length > 0) throw new PeftError('no-match', `with: the model has no ${problems.join('; no ')}`);
  return {
    linears: replace('linear', parts.linears, patch.linears, ({ outDim, inDim }) => [outDim, inDim]),
    norms: replace('norm', parts.norms, patch.norms, ({ dim }) => [dim]),
    embeddings: replace('embedding', parts.embeddings, patch.embeddings, ({ rows, dim }) => [rows, dim]),
    experts: replace('experts', parts.experts, patch.experts, ({ count, outDim, inDim }) => [count, outDim, inDim]),
    around: patch.around ? stackAround(parts.around, patch.around) : parts.around,
    positionShift: parts.positionShift + (patch.positionShift ?? 0),
    present: patch.present ?? parts.present,
    batchSize: patch.batchSize ?? parts.batchSize,
    training: patch.training ?? parts.training,
    recompute: patch.recompute ?? parts.recompute,
    reweighted: patch.reweighted ?? parts.reweighted,
    headsKept: patch.headsKept ?? parts.headsKept,
    watch: patch.watch
      ? (pass) => {
          parts.watch(pass);
          patch.watch!(pass);
        }
      : parts.watch,
  };
};
