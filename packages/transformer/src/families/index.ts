import type { ModelConfig } from '../config/model-config.ts';
import { decoders } from './decoders.ts';
import { encoders } from './encoders.ts';
import type { Family } from './family.ts';
import { unknownArchitecture } from './on-demand.ts';
import { pictures } from './pictures.ts';

/** All families at once, for what builds a model without waiting, which brings them all along. */
export const allFamilies = (): readonly Family[] => [...decoders, ...encoders, ...pictures];

/** The family of a config. Throws `unknown-architecture` with those there are. */
export const familyOfConfig = ({ modelType }: ModelConfig): Family => {
  const family = allFamilies().find((own) => own.modelType === modelType);
  if (family) return family;
  throw unknownArchitecture('model', String(modelType));
};
