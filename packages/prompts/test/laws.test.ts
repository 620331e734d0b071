import { describeMethod, describeMethods } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import * as family from '../src/index.ts';

/** Values of m keys and as many values in every layer. */
const prefixSize = ({ config, main }: TaskModel, m: number): number =>
  m * 2 * config.layers * main.keyHeads * main.headDim;

/** Prefixes are of one tower. */
const refuses = ({ towers }: TaskModel): RegExp | null =>
  towers.length > 1 ? /prefixTuning: is for models of one tower/ : null;

describeMethods(family, {
  promptTuning: {
    options: { length: 3 },
    parameters: ({ config }) => 3 * config.hiddenSize,
    identity: false,
  },
  prefixTuning: {
    options: { length: 3 },
    parameters: (model) => prefixSize(model, 3),
    identity: false,
    refuses,
  },
  adapterHubPrefixTuning: {
    options: { length: 3, bottleneck: 5 },
    parameters: (model) => 3 * model.config.hiddenSize + 5 * (model.config.hiddenSize + 1) + prefixSize(model, 1) * 6,
    identity: false,
    refuses,
  },
  pTuning: {
    options: { length: 3, hidden: 6 },
    parameters: ({ config: { hiddenSize: d } }) => 3 * d + 6 * (d + 1) + 6 * (6 + 1) + d * (6 + 1),
    identity: false,
  },
});

// An MLP makes the prefix.
describeMethod(family.prefixTuning, {
  options: { length: 3, bottleneck: 5 },
  parameters: (model) => {
    const width = model.main.keyHeads * model.main.headDim;
    return 3 * width + 5 * (width + 1) + prefixSize(model, 1) * (5 + 1);
  },
  identity: false,
  refuses,
});

// Its gates are a mean over whole sequences.
describeMethod(family.adapterHubPrefixTuning, {
  options: { length: 3, flat: true, gating: true },
  parameters: (model) => prefixSize(model, 3) + model.config.layers * (model.config.hiddenSize + 1),
  identity: false,
  causal: false,
  refuses,
});
