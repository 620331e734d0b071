import { type Chosen, normal, type Scope, zeros } from '@peftjs/core';
import { add, gather, matmul, mul, transpose } from '@peftjs/tensor';
import type { Embedding, Path } from '@peftjs/transformer';
import { type LoraOptions, rankAndScaleOf } from './low-rank.ts';

/**
 * LoRA of an embedding: row + (alpha/r)·B·A[:, id], A of shape [rank, rows] zero at the start, B of shape [dim, rank] from N(0, 1), as Hugging
 * Face PEFT has it: `lora_embedding_A`, `lora_embedding_B`; nothing is dropped. A head that shares the table keeps the base's.
 */
export const embeddingDelta = (base: Embedding, own: Scope, path: Path, options: Chosen<LoraOptions>): Embedding => {
  const { rank, scale } = rankAndScaleOf(path, options);
  const a = own.param('lora_embedding_A', [rank, base.rows], zeros);
  const b = own.param('lora_embedding_B', [base.dim, rank], normal(1));
  const rows = transpose(a, [1, 0]); // [rows, rank]
  return {
    ...base,
    weight: add(base.weight, mul(matmul(rows, b, { transposeB: true }), scale)),
    apply: (ids, call) => {
      const low = gather(rows, ids); // [..., rank]
      return add(base.apply(ids, call), matmul(mul(low, scale), b, { transposeB: true }));
    },
  };
};
