import { attach, save } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { shake } from '@peftjs/testkit';
import type { Combination } from './combinations.ts';
import { familyGoldens, openModel } from './families.ts';

/** Saves a combination whose values were moved off the first ones, always the same way; with the card, which says how PEFT loads it. */
export const writeCombination = async ({ model, method }: Combination, dir: string): Promise<void> => {
  const executor = reference();
  const adapted = attach(await openModel(familyGoldens.find((golden) => golden.name === model)!), [method]);
  await shake(adapted.params, { executor });
  await save(adapted, dir, { executor, baseModel: model });
};
