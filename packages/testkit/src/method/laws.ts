import { attach } from '@peftjs/core';
import { isPeftError } from '@peftjs/tensor';
import type { Law } from '@peftjs/transformer/testing';
import { callLaws } from './call-laws.ts';
import { chanceLaws } from './chance-laws.ts';
import { fileLaws } from './file-laws.ts';
import { functionLaws } from './function-laws.ts';
import { gradientLaws } from './gradient-laws.ts';
import { mergeLaws } from './merge-laws.ts';
import { projectionLaws } from './projection-laws.ts';
import type { MethodCase } from './row.ts';
import { sequenceLaws } from './sequence-laws.ts';
import { methodOf } from './subject.ts';
import { trainingLaws } from './training-laws.ts';

const refuses = (of: MethodCase, says: RegExp): Law => ({
  name: 'is refused for a model that it is not for',
  check: async () => {
    const base = of.base();
    try {
      attach(base, [methodOf(of, base)]);
    } catch (error) {
      if (isPeftError(error) && says.test(error.message)) return;
      throw new Error(`it must be refused by a PeftError that says ${says}; it threw ${error}`, {
        cause: error,
      });
    }
    throw new Error(`it must be refused, saying ${says}; it was attached`);
  },
});

/** The words of the error of a method that is attached to a model; null where it takes it, perhaps after a look at data. Throws what is no `PeftError`. */
export const wordsOf = (of: MethodCase): string | null => {
  const base = of.base();
  try {
    attach(base, [methodOf(of, base)]);
    return null;
  } catch (error) {
    if (!isPeftError(error)) throw error;
    return error.message.includes('call prepare') ? null : error.message;
  }
};

/** The words of a method about a model that it is not for; null where it takes it. */
export const refusalOf = ({ row, base }: MethodCase): RegExp | null => row.refuses?.(base()) ?? null;

/** Some laws, or the one of a model that the method is not for. */
const lawsBy =
  (...groups: readonly ((of: MethodCase) => readonly Law[])[]) =>
  (of: MethodCase): readonly Law[] => {
    const says = refusalOf(of);
    return says ? [refuses(of, says)] : groups.flatMap((laws) => laws(of));
  };

/** The laws that the base's storage format has a part in. */
export const formatLaws: (of: MethodCase) => readonly Law[] = lawsBy(functionLaws, mergeLaws, gradientLaws);

/** The laws that the base's architecture has a part in. */
export const familyLaws: (of: MethodCase) => readonly Law[] = lawsBy(functionLaws, mergeLaws, sequenceLaws, fileLaws);

/** Every law of a method, on the reference executor. */
export const methodLaws: (of: MethodCase) => readonly Law[] = lawsBy(
  ...[
    functionLaws,
    mergeLaws,
    gradientLaws,
    callLaws,
    sequenceLaws,
    fileLaws,
    trainingLaws,
    chanceLaws,
    projectionLaws,
  ],
);
