import type { Tensor } from '@peftjs/tensor';
import {
  featureExtraction,
  imageClassifier,
  type Pooling,
  type Problem,
  seq2seqLM,
  sequenceClassifier,
  type Task,
  tokenClassifier,
} from '@peftjs/transformer';
import type { Named } from '../config/named.ts';

const labelsIn = ({ labels }: Named): readonly string[] => labels as readonly string[];

const tasks: Readonly<Record<string, (task: Named) => Task<Tensor>>> = {
  seq2seqLM: () => seq2seqLM(),
  sequenceClassifier: (task) => sequenceClassifier({ labels: labelsIn(task), problem: task['problem'] as Problem }),
  tokenClassifier: (task) => tokenClassifier({ labels: labelsIn(task) }),
  featureExtraction: ({ pooling }) => featureExtraction({ pooling: pooling as Pooling }),
  imageClassifier: (task) => imageClassifier({ labels: labelsIn(task) }),
};

/** The model's task of a run, as its folder keeps it, which names the classes; null where the run writes. No examples are read. */
export const taskOf = (kept: Named): Task<Tensor> | null => tasks[kept.name]?.(kept) ?? null;
