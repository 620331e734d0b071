import type { Law } from '@peftjs/transformer/testing';
import { callLaws } from './call-laws.ts';
import { chanceLaws } from './chance-laws.ts';
import { fileLaws } from './file-laws.ts';
import { functionLaws } from './function-laws.ts';
import { gradientLaws } from './gradient-laws.ts';
import { mergeLaws } from './merge-laws.ts';
import type { MethodCase } from './row.ts';
import { sequenceLaws } from './sequence-laws.ts';
import { trainingLaws } from './training-laws.ts';

/** The laws that the base's storage format has a part in. */
export const formatLaws = (of: MethodCase): readonly Law[] =>
  [functionLaws, mergeLaws, gradientLaws].flatMap((laws) => laws(of));

/** The laws that the base's architecture has a part in. */
export const familyLaws = (of: MethodCase): readonly Law[] =>
  [functionLaws, mergeLaws, sequenceLaws, fileLaws].flatMap((laws) => laws(of));

/** Every law of a method, on the reference executor. */
export const methodLaws = (of: MethodCase): readonly Law[] =>
  [formatLaws, callLaws, sequenceLaws, fileLaws, trainingLaws, chanceLaws].flatMap((laws) => laws(of));
