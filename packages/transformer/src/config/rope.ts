import * as z from 'zod';
import { collect } from './collect.ts';

/**
 * How Llama 3.1 and later stretch the wavelengths of the rotary embedding beyond the context of pretraining.
 * Source: Llama Team, 2024, https://arxiv.org/abs/2407.21783; transformers, `modeling_rope_utils.py`.
 */
export interface Llama3RopeScaling {
  readonly kind: 'llama3';
  readonly factor: number;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly originalMaxPositions: number;
}

/** The rotary embedding of a model: its base, and how it is stretched, if it is. */
export interface Rope {
  readonly ropeTheta: number;
  readonly ropeScaling: Llama3RopeScaling | null;
}

const positive = z.number().positive();

const rule = z.object({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: positive.optional(),
  partial_rotary_factor: z.number().optional(),
  factor: z.number().optional(),
  low_freq_factor: z.number().optional(),
  high_freq_factor: z.number().optional(),
  original_max_position_embeddings: z.number().optional(),
});

type Rule = z.infer<typeof rule>;

const schema = z.object({
  rope_theta: positive.optional(),
  rope_scaling: rule.nullish(),
  rope_parameters: rule.nullish(),
});

/**
 * The rotary embedding from `rope_theta` and `rope_scaling`, or from `rope_parameters`, the form of transformers 5 that
 * holds both. What is wrong, and kinds that are not computed here, go to `problems`.
 */
export const parseRope = (json: unknown, defaultTheta: number, problems: string[]): Rope | undefined => {
  const raw = collect(schema, json, problems);
  if (!raw) return undefined;
  const scalings = [
    raw.rope_scaling && toScaling('rope_scaling', raw.rope_scaling, problems),
    raw.rope_parameters && toScaling('rope_parameters', raw.rope_parameters, problems),
  ].filter((scaling) => scaling !== undefined);
  const thetas = [raw.rope_theta, raw.rope_parameters?.rope_theta].filter((theta) => theta !== undefined);
  if (new Set(thetas).size > 1)
    problems.push(`rope_theta ${thetas[0]} and rope_parameters.rope_theta ${thetas[1]} differ`);
  const given = scalings.filter((scaling) => scaling !== null);
  if (raw.rope_scaling && raw.rope_parameters && new Set(scalings.map((scaling) => JSON.stringify(scaling))).size > 1)
    problems.push('rope_scaling and rope_parameters differ; keep one of them');
  return { ropeTheta: thetas[0] ?? defaultTheta, ropeScaling: given[0] ?? null };
};

const toScaling = (field: string, raw: Rule, problems: string[]): Llama3RopeScaling | null => {
  const kind = raw.rope_type ?? raw.type ?? 'default';
  if ((raw.partial_rotary_factor ?? 1) !== 1)
    problems.push(`${field}.partial_rotary_factor ${raw.partial_rotary_factor} is not supported; only 1 is`);
  if (kind === 'default') return null;
  if (kind !== 'llama3') {
    problems.push(`${field} of type ${JSON.stringify(kind)} is not supported; "default" and "llama3" are`);
    return null;
  }
  const scaling: Llama3RopeScaling = {
    kind,
    factor: raw.factor ?? Number.NaN,
    lowFrequencyFactor: raw.low_freq_factor ?? Number.NaN,
    highFrequencyFactor: raw.high_freq_factor ?? Number.NaN,
    originalMaxPositions: raw.original_max_position_embeddings ?? Number.NaN,
  };
  if (!(scaling.factor >= 1)) problems.push(`${field}.factor must be a number >= 1`);
  if (!(scaling.lowFrequencyFactor > 0 && scaling.highFrequencyFactor > scaling.lowFrequencyFactor))
    problems.push(`${field}: low_freq_factor must be above 0 and high_freq_factor above low_freq_factor`);
  if (!(Number.isSafeInteger(scaling.originalMaxPositions) && scaling.originalMaxPositions > 0))
    problems.push(`${field}.original_max_position_embeddings must be a whole number above 0`);
  return scaling;
};
