import { denseEmbedding, type Embedding } from '../embedding.ts';
import { denseExperts, type Experts } from '../experts.ts';
import { denseLinear, type Linear } from '../linear.ts';
import type { Norm, NormValues } from '../norm.ts';
import type { Path } from '../sites.ts';
import type { OwnParts, Tensors } from './family.ts';

/** How tensors become layers. */
export interface PartRules {
  /** Paths of embeddings. */
  readonly embeddings: readonly Path[];
  isNorm(path: Path): boolean;
  norm(values: NormValues, path: Path): Norm;
  /** A head that is a layer over an embedding's table: its path, and the embedding's; null where it has a weight of its own. */
  readonly tied: readonly [head: Path, table: Path] | null;
}

/**
 * The layers of a model by path: every `<path>.weight` is one, with the `<path>.bias` that there is; tensors of three axes with another name are
 * matrices of experts, with the `<name>_bias` that there is.
 */
export const partsOfTensors = (tensors: Tensors, { embeddings: tables, isNorm, norm, tied }: PartRules): OwnParts => {
  const linears = new Map<Path, Linear>();
  const norms = new Map<Path, Norm>();
  const embeddings = new Map<Path, Embedding>();
  const experts = new Map<Path, Experts>();
  for (const [name, weight] of tensors) {
    if (weight.shape.length === 3 && !name.endsWith('.weight'))
      experts.set(name, denseExperts(weight, tensors.get(`${name}_bias`) ?? null));
    if (!name.endsWith('.weight')) continue;
    const path = name.slice(0, name.lastIndexOf('.'));
    const values = { weight, bias: tensors.get(`${path}.bias`) ?? null };
    if (tables.includes(path)) embeddings.set(path, denseEmbedding(weight));
    else if (isNorm(path)) norms.set(path, norm(values, path));
    else linears.set(path, denseLinear(values));
  }
  if (tied) {
    const [head, table] = tied;
    linears.set(
      head,
      denseLinear({ weight: embeddings.get(table)!.weight, bias: tensors.get(`${head}.bias`) ?? null }),
    );
  }
  return { linears, norms, embeddings, experts };
};
