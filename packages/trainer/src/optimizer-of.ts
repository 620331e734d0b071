import { chain, type GradientTransform } from '@peftjs/core';
import { checkOptions, mustBe } from '@peftjs/tensor';
import { type AdafactorOptions, adafactor } from './optimizers/adafactor.ts';
import type { AdamWOptions } from './optimizers/adam-hyper.ts';
import { adamw } from './optimizers/adamw.ts';
import { type AdamW8bitOptions, adamw8bit } from './optimizers/adamw-8bit.ts';
import { clip } from './optimizers/clip.ts';
import { type LionOptions, lion } from './optimizers/lion.ts';
import { type MuonOptions, muon } from './optimizers/muon.ts';
import { type ProdigyOptions, prodigy } from './optimizers/prodigy.ts';
import { type ScheduleFreeOptions, scheduleFree } from './optimizers/schedule-free.ts';
import { type SgdOptions, sgd } from './optimizers/sgd.ts';

/** The options of each optimiser, by name. */
export interface OptimizersByName {
  readonly adamw: AdamWOptions;
  readonly adamw8bit: AdamW8bitOptions;
  readonly adafactor: AdafactorOptions;
  readonly lion: LionOptions;
  readonly muon: Omit<MuonOptions, 'others' | 'matrices'>;
  readonly prodigy: ProdigyOptions;
  readonly scheduleFree: ScheduleFreeOptions;
  readonly sgd: SgdOptions;
}

type Name = keyof OptimizersByName;

/** An optimiser as values of JSON: its name and options. */
export type NamedOptimizer = {
  readonly [N in Name]: {
    readonly name: N;
    /** The global norm that gradients are clipped to before; null for none. Default 1. */
    readonly clip?: number | null;
  } & OptimizersByName[N];
}[Name];

const makers: { readonly [N in Name]: (options: OptimizersByName[N]) => GradientTransform } = {
  adamw,
  adamw8bit,
  adafactor,
  lion,
  muon,
  prodigy,
  scheduleFree,
  sgd,
};

/** The names of all optimisers. */
export const optimizerNames: readonly string[] = Object.keys(makers);

/** An optimiser by its name, behind `clip(1)`: `optimizerOf({ name: 'lion', weightDecay: 0.1 })`. Throws `bad-option`. */
export const optimizerOf = (named: NamedOptimizer): GradientTransform => {
  const { name, clip: norm = 1, ...options } = named ?? {};
  checkOptions('optimizerOf', { name: mustBe.given(mustBe.oneOf(optimizerNames)) }, { name });
  const steps = (makers[name] as (o: object) => GradientTransform)(options);
  return norm === null ? steps : chain(clip(norm), steps);
};
