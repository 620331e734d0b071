import { spamData } from '@peftjs/demo/classes';
import { type ClassTask, wholeModel, withMethod } from './class-task.ts';

/** Tokens of a mail. */
export const tokens = 24;

/** Mails that are spam or not, by all-MiniLM-L6-v2. */
export const spam: ClassTask = {
  name: 'spam',
  about: 'all-MiniLM-L6-v2 (--model) taught to tell spam from other mails, beside PyTorch: docs/classification.md',
  steps: 32,
  batchSize: 16,
  data: (model) => spamData(model, tokens),
  contenders: [
    { ...withMethod('lora', 'rank 8, alpha 8, queries and values', 5, { rank: 8, alpha: 8 }), peer: 'peft' },
    { ...withMethod('ia3', 'keys, values, outputs and the second layer of the MLP', 6), peer: 'peft' },
    { ...withMethod('bitfit', 'every bias', 5), peer: 'torch' },
    { ...withMethod('houlsby', 'bottlenecks of 24', 4), peer: 'adapters' },
    { ...withMethod('promptTuning', '20 rows', 7, { length: 20 }), peer: 'peft' },
    { ...wholeModel(2), peer: 'torch' },
  ],
};
