import { load } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { constant, type Executor, evaluate, gather, reshape } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { loadModel, meanOf } from '@peftjs/transformer';
import { readRecord, recordedTensors } from './record.ts';
import { requireSameFiles } from './require-same-files.ts';

/** Largest differences of ours from what Python recorded. */
export interface Difference {
  readonly logits: number;
  readonly loss: number;
  readonly baseLoss: number;
}

/**
 * Computes on an executor what `check.py` recorded of a base model with an adapter, and gives how far apart they are. Throws `bad-data`
 * where the files are not those that Python saw.
 */
export const compare = async (
  modelDir: string,
  adapterDir: string,
  recordFile: string,
  executor: Executor,
): Promise<Difference> => {
  const record = await readRecord(recordFile);
  await requireSameFiles(modelDir, record.base);
  await requireSameFiles(adapterDir, record.adapter);
  const python = await recordedTensors(recordFile);
  const base = await loadModel(modelDir);
  const { model } = await load(base, adapterDir, [lora]);
  const length = python.ids.length;
  const ids = constant(python.ids, [1, length]);
  const labels = constant(Int32Array.of(...python.ids.subarray(1), -100), [1, length]);
  const rows = reshape(model.logits(ids), [length, model.config.vocabSize]);
  const outputs = {
    logits: gather(rows, constant(python.positions, [python.positions.length])),
    loss: meanOf(model.loss({ ids, labels })),
    baseLoss: meanOf(base.loss({ ids, labels })),
  };
  const ours = await evaluate(outputs, { executor });
  return {
    logits: distance(ours['logits']!, python.logits),
    loss: distance(ours['loss']!, [record.loss]),
    baseLoss: distance(ours['baseLoss']!, [record.baseLoss]),
  };
};
