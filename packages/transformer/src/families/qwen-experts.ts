import type { DecoderConfig, DecoderFields } from './decoder/config.ts';
import { type ExpertFileNames, type ExpertsTrait, expertsBy } from './decoder/experts.ts';

/** Fields of Qwen's configs with experts that both of its generations have, with the defaults of both. */
export const qwenExpertFields: Partial<DecoderFields> = {
  useSlidingWindow: false,
  slidingWindow: 4096,
  decoderSparseStep: 1,
  normTopkProb: false,
  outputRouterLogits: false,
  routerAuxLossCoef: 0.001,
  mlpOnlyLayers: null,
};

/** Names of an expert's matrices in their files. */
export const qwenExpertFiles: ExpertFileNames = { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' };

/** The experts of a Qwen: in every so many layers, but in none of those that the config names. */
export const qwenExperts = ({ fields = {} }: DecoderConfig): ExpertsTrait | null => {
  const { numExperts = 0, decoderSparseStep: step = 1, mlpOnlyLayers } = fields;
  return expertsBy(fields, {
    count: numExperts,
    perToken: fields.numExpertsPerTok ?? 1,
    width: fields.moeIntermediateSize ?? 1,
    shared: fields.sharedExpertIntermediateSize ?? 0,
    sumsToOne: fields.normTopkProb ?? false,
    at: (layer) => !mlpOnlyLayers?.includes(layer) && (layer + 1) % step === 0,
  });
};
