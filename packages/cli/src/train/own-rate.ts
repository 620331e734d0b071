import { type NamedOptimizer, optimizerOf } from '@peftjs/trainer';
import type { RunConfig } from '../config/schema.ts';

/** The learning rate of a run's optimiser, where it finds its step size by itself. */
export const ownRate = ({ optimizer: { name } }: RunConfig): number | undefined =>
  optimizerOf({ name } as NamedOptimizer).rate;
