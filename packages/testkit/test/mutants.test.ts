import { normal } from '@peftjs/core';
import { describe, expect, test } from 'vitest';
import { architectures } from '../src/bases.ts';
import { type MethodCase, type MethodRow, methodLaws, sumOver } from '../src/index.ts';
import type { AnyFactory } from '../src/method/row.ts';
import { ladder, lowRank, prefix, rescaled, step } from './toys.ts';

const rows = {
  lowRank: {
    options: { rank: 2 },
    parameters: (model) => sumOver(model, /\.(q_proj|v_proj|c_attn|attn\.c_proj)$/, (i, o) => 2 * (i + o)),
  },
  rescaled: {
    options: {},
    identity: false,
    detaches: 'part',
    parameters: (model) => sumOver(model, /\.(down_proj|c_fc)$/, (_, o) => o),
  },
  ladder: {
    options: {},
    detaches: 'backbone',
    parameters: ({ config }) => 2 * config.hiddenSize + config.layers * (2 * config.hiddenSize + 2),
  },
  prefix: {
    options: {},
    identity: false,
    parameters: ({ config, main }) => config.layers * 2 * 2 * main.headDim * main.keyHeads,
  },
  step: { options: {}, parameters: ({ config }) => config.layers * config.hiddenSize },
} satisfies Record<string, Omit<MethodRow, 'options'> & { options: object }>;

const caseOf = (factory: AnyFactory, architecture: keyof typeof architectures, changes: object = {}): MethodCase => ({
  factory,
  row: { ...rows[factory.name as keyof typeof rows], ...changes } as unknown as MethodRow,
  base: architectures[architecture],
});

/** What each law says of a method, by the law's name; null where it holds. */
const verdicts = async (of: MethodCase): Promise<Record<string, string | null>> => {
  const found: Record<string, string | null> = {};
  for (const { name, check } of methodLaws(of))
    found[name] = await check().then(
      () => null,
      (error: Error) => error.message,
    );
  return found;
};

const sound: [string, AnyFactory][] = [
  ['a low-rank update', lowRank()],
  ['one that shrinks after each step', lowRank({ shrinks: 'by the rate' })],
  ['rows of other lengths', rescaled(true)],
  ['a ladder', ladder()],
  ['a prefix', prefix()],
  ['a step', step()],
];

describe.each(['llama', 'gpt2'] as const)('the laws hold on %s for', (architecture) => {
  test.each(sound)('%s', async (_, factory) => {
    const broken = Object.entries(await verdicts(caseOf(factory, architecture))).filter(([, said]) => said !== null);
    expect(Object.fromEntries(broken)).toEqual({});
  });
});

const applies = 'applies what dense() says, on every layer that it changes';
const padding = 'padding and other rows change nothing';
const causal = 'a token changes nothing before it, to the bit, and something from there on';
const generation = 'generation with a cache gives what full passes give';
const handsOn = 'hands the very call on to the layers beneath';
const acrossRows = 'says of its layers whether a row depends on others';
const draws = 'each training view of a step draws anew, evaluation draws nothing';
const projects = 'projects what a step made of its parameters, and nothing where none was made';
const gradients = 'gradients reach every parameter and equal differences';

/** What is wrong, the wrong method, the law that says so, and what it says. */
const mutants: [mistake: string, factory: AnyFactory, law: string, says: RegExp, changes?: object][] = [
  [
    'another scale in dense()',
    lowRank({ denseScale: 1 }),
    applies,
    /c_attn: apply\(x\) against .* \d+ of \d+ values in \[4, 24\]/,
  ],
  [
    'another scale in dense(), merged',
    lowRank({ denseScale: 1 }),
    'merges to the same function',
    /logits of the merged/,
  ],
  ['a transposed matrix', lowRank({ transposed: true }), applies, /attn\.c_proj: apply\(x\)/],
  ['a dropped bias', lowRank({ droppedBias: true }), applies, /c_attn: apply\(x\)/],
  [
    'a first B that is not zero',
    lowRank({ initB: normal(0.1) }),
    'is the identity before training',
    /logits of the new adapter/,
  ],
  [
    'a method that is declared to change the function and does not',
    lowRank(),
    'changes the function from the start',
    /identity: false/,
    { identity: false },
  ],
  ['a parameter of no use', lowRank({ extraParam: true }), gradients, /c_attn\.unused: no gradient reaches it/],
  [
    'a parameter too many',
    lowRank({ extraParam: true }),
    'trains as many values as its formula says',
    /it trains 196 values, the formula says 192:\n/,
  ],
  [
    'dropout at evaluation',
    lowRank({ dropsAlways: true }),
    'dropout acts in the training view alone, and follows the seed',
    /for evaluation/,
  ],
  ['a call of its own', lowRank({ ownCall: true }), handsOn, /c_attn, .*: the layer beneath gets another call/],
  ['rows mixed unsaid', lowRank({ mixesRows: true }), acrossRows, /c_attn: a row depends on another one/],
  [
    'rows of the layer beneath forgotten',
    lowRank({ forgetsRows: true }),
    acrossRows,
    /c_attn, .*: acrossRows .* is lost/,
  ],
  ['draws that are the same in all training views', lowRank({ drawsAlike: 'training' }), draws, /two training views/],
  [
    'a projection that moves where no step is made',
    lowRank({ shrinks: 'always' }),
    projects,
    /c_attn\.a after no step, at a rate of 0/,
  ],
  [
    'a projection of what was before the step',
    lowRank({ shrinks: 'what was' }),
    projects,
    /what the optimiser did is lost: .*c_attn\.a after a step/,
  ],
  ['draws in evaluation', lowRank({ drawsAlike: 'always' }), draws, /the view for evaluation draws/],
  [
    'a frozen tensor that is not saved',
    lowRank({ unsaved: true }),
    'saves and loads to the bit',
    /logits of the loaded adapter/,
  ],
  [
    'an option that is not in the file',
    lowRank({ key: null }),
    'its configuration makes the same method again',
    /trains .*\.a \[3,8\].*, not .*\.a \[2,8\]/,
  ],
  ['a norm that is not detached', rescaled(false), gradients, /that of the whole function/],
  [
    'a norm that is detached unsaid',
    rescaled(true),
    gradients,
    /the gradient gives .*, the difference/,
    { detaches: undefined },
  ],
  [
    'a ladder that is not apart from the backbone',
    ladder({ writesBack: true }),
    'keeps no activations of the backbone',
    /a layer more keeps \d+ values/,
  ],
  ['a prefix that a mask hides', prefix('ignored by the mask'), padding, /logits of the longer row/],
  ['a prefix behind', prefix('behind'), causal, /logits before a changed token 1/],
  ['a prefix in the cache', prefix('cached twice'), generation, /rows in front are to be added to what next returns/],
  ['one row that leaks into another', prefix('mean of the batch'), padding, /logits of the longer row/],
  ['a look at what comes later', step({ peeks: true }), causal, /logits before a changed token/],
  [
    'a merge of what does not fold',
    step({ merges: true }),
    'merges to the same function',
    /logits of the merged model/,
  ],
];

describe('the laws catch', () => {
  test.each(mutants)('%s', async (_, factory, law, says, changes) => {
    const of = caseOf(factory, 'gpt2', changes);
    const found = methodLaws(of).find(({ name }) => name === law);
    await expect(found?.check()).rejects.toThrow(says);
  });
});
