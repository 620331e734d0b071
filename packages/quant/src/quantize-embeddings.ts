import { dequantize, gather, PeftError, packedRow, reshape, scaleGroup, type Tensor } from '@peftjs/tensor';
import {
  type Embedding,
  type Linear,
  type Model,
  type Path,
  requireModel,
  storedTable,
  storedValues,
} from '@peftjs/transformer';
import type { QuantFormat } from './format.ts';
import { encodeLinear, type StoredLinear, storedBehind } from './packed-linear.ts';

/** How many numbers of a part, by super-block, a row has. Throws `bad-option` where rows share them. */
const groupsOfRow = (name: string, { storage }: StoredLinear, inDim: number): number => {
  const attrs = storage.layout(inDim);
  const groups = packedRow(attrs).blocks / (attrs.group ?? scaleGroup);
  if (Number.isInteger(groups) && !storage.parts.includes('scaleOffset')) return groups;
  throw new PeftError(
    'bad-option',
    `quantizeEmbeddings: ${storage.name} packs the scales of several rows of ${name} together, so that none can be read alone; ` +
      'choose one whose rows have scales of their own: int8(), int4(), nf4({ doubleQuant: false })',
  );
};

/** A table whose rows lie as the outputs of a layer; those that are looked up are unpacked. */
const packedEmbedding = (name: string, layer: Linear): Embedding => {
  const { inDim, outDim } = layer;
  const stored = storedBehind(layer)!;
  const { packed, storage } = stored;
  const attrs = storage.layout(inDim);
  const { scale, codes, scaleCodes, high, min, minCodes } = packed;
  const groups = scaleCodes || (min && minCodes) ? groupsOfRow(name, stored, inDim) : 1;
  const weight = layer.dense().weight;
  return {
    rows: outDim,
    dim: inDim,
    weight,
    apply: (ids) => {
      const rowsOf = (part: Tensor | undefined): Tensor | null => {
        if (!part) return null;
        const found = gather(part, ids);
        return reshape(found, [-1, found.shape.at(-1)!]);
      };
      /** Of a part that has a number for each super-block where `packed` gives their codes. */
      const grouped = (part: Tensor | undefined, by: Tensor | undefined): Tensor | null =>
        part && by ? reshape(rowsOf(reshape(part, [outDim, groups]))!, [-1]) : rowsOf(part);
      const values = dequantize(
        rowsOf(codes)!,
        grouped(scale, scaleCodes)!,
        rowsOf(scaleCodes),
        null,
        rowsOf(high),
        grouped(min, minCodes),
        rowsOf(minCodes),
        attrs,
      );
      return reshape(values, [...ids.shape, inDim]);
    },
    encode: (values) => packedEmbedding(name, layer.encode({ weight: values, bias: null })),
  };
};

/**
 * A view of a model whose tables of tokens are stored in a format; rows are unpacked as they are looked up, so that the table is in memory once, packed. A head that shares the table's values (tied weights) shares
 * its bytes too, and is multiplied as the format says: of `int8({ compute: 'int8' })`, which keeps a value within 1/254 of its row's largest, the loss reads the head as it is stored, while other formats are unpacked whole for it.
 * Tables of positions stay as they are. To be called on the base model, before `quantize` and `attach`. Throws `bad-option`, by name, for tables that are adapted, trained or quantised already, and for a format whose rows share scales.
 */
export const quantizeEmbeddings = <M extends Model>(model: M, format: QuantFormat): M => {
  requireModel('quantizeEmbeddings', model);
  const [embeddings, linears] = [new Map<Path, Embedding>(), new Map<Path, Linear>()];
  for (const path of new Set(model.towers.flatMap(({ tokenTable }) => tokenTable ?? []))) {
    const embedding = model.embeddings.get(path)!;
    const table = storedTable(embedding);
    if (!table)
      throw new PeftError(
        'bad-option',
        `quantizeEmbeddings: ${path} is adapted, or quantised already; quantise the base model, then attach`,
      );
    const isTied = (layer: Linear): boolean =>
      storedValues(layer) !== null && layer.dense().weight.node === embedding.weight.node;
    const heads = [...model.linears].filter(([, layer]) => isTied(layer));
    const bias = heads[0]?.[1].dense().bias ?? null;
    const layer = encodeLinear(format, `${path}.weight`, { weight: table, bias });
    embeddings.set(path, packedEmbedding(`${path}.weight`, layer));
    for (const [head] of heads) linears.set(head, layer);
  }
  if (embeddings.size > 0) return model.with({ embeddings, linears });
  throw new PeftError(
    'bad-option',
    `quantizeEmbeddings: ${model.layout.modelType} has no table of tokens, as it reads pictures; leave the call out`,
  );
};
