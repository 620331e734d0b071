import { join } from 'node:path';
import { combine, type Method, type MethodFormat } from '@peftjs/core';
import { adalora, dora, loha, lokr, lora } from '@peftjs/lora';
import { ia3 } from '@peftjs/scaling';

/** A combination that Hugging Face PEFT can say, on a model of `families.ts`. */
export interface Combination {
  readonly model: string;
  readonly name: string;
  readonly method: Method;
  readonly formats: readonly MethodFormat[];
}

/** All of them: as one adapter, and as adapters in folders of their own, which may share layers. */
export const combinations: readonly Combination[] = [
  {
    model: 't5',
    name: 'patterns',
    method: combine([
      { layers: [0], method: lora({ rank: 2, alpha: 3 }) },
      { layers: [1], method: lora({ rank: 3, alpha: 3, target: ['q', 'k', 'wo'] }) },
      { layers: [2], method: combine([lora({ rank: 3, alpha: 5, target: 'k' }), lora({ rank: 1, target: 'wi' })]) },
    ]),
    formats: [lora],
  },
  {
    model: 'bert-sequence',
    name: 'part',
    method: combine([{ layers: [1], method: ia3() }]),
    formats: [ia3],
  },
  {
    model: 'bert-sequence',
    name: 'mixed',
    method: combine([
      lora({ rank: 2 }),
      { name: 'products', method: loha({ rank: 2, target: ['query', 'key'] }) },
      { layers: [1], method: dora({ rank: 2, target: 'attention.output.dense' }) },
      lokr({ rank: 2, target: 'value' }),
      lora({ rank: 3, target: 'query' }),
    ]),
    formats: [dora, loha, lokr, lora],
  },
  {
    model: 't5',
    name: 'mixed',
    method: combine([{ layers: [0, 1], method: adalora({ rank: 2, targetRank: 1 }) }, lora({ target: 'all-linear' })]),
    formats: [adalora, lora],
  },
];

/** The folder that `export-combinations.ts` wrote one into, with what PEFT made of it. */
export const combinationDir = ({ model, name }: Combination): string =>
  join(import.meta.dirname, '../data/peftjs/combinations', `${model}-${name}`);
