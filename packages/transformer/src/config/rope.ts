import * as z from 'zod';
import { collect } from './collect.ts';
import { parseScaling, scalingRule } from './parse-scaling.ts';
import type { RopeScaling } from './rope-scaling.ts';

/** The rotary embedding of a model: its base, and how it is stretched, if it is. */
export interface Rope {
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
}

const positive = z.number().positive();

const schema = z.object({
  max_position_embeddings: z.number().optional(),
  original_max_position_embeddings: z.number().nullish(),
  rope_theta: positive.optional(),
  rope_scaling: scalingRule.nullish(),
  rope_parameters: scalingRule.nullish(),
});

/** Tells where several values that should be one differ. */
const one = <T>(
  values: readonly (readonly [field: string, value: T | null | undefined])[],
  problems: string[],
): T | undefined => {
  const given = values.filter((entry): entry is readonly [string, T & {}] => entry[1] != null);
  const [first, ...others] = given;
  const other = others.find(([, value]) => value !== first![1]);
  if (first && other) problems.push(`${first[0]} ${first[1]} and ${other[0]} ${other[1]} differ`);
  return first?.[1];
};

/**
 * The rotary embedding from `rope_theta` and `rope_scaling`, or from `rope_parameters`, the form of transformers 5 that
 * holds both. What is wrong, and kinds that are not computed here, go to `problems`.
 */
export const parseRope = (json: unknown, defaultTheta: number, problems: string[]): Rope | undefined => {
  const raw = collect(schema, json, problems);
  if (!raw) return undefined;
  const forms = (['rope_scaling', 'rope_parameters'] as const).flatMap((field) => {
    const rule = raw[field];
    return rule ? [{ field, rule }] : [];
  });
  const scalings = forms.map(({ field, rule }) => {
    const original = one(
      [
        ['original_max_position_embeddings', raw.original_max_position_embeddings],
        [`${field}.original_max_position_embeddings`, rule.original_max_position_embeddings],
      ],
      problems,
    );
    return parseScaling(field, rule, { original, most: raw.max_position_embeddings }, problems);
  });
  if (new Set(scalings.map((scaling) => JSON.stringify(scaling))).size > 1)
    problems.push('rope_scaling and rope_parameters differ; keep one of them');
  const theta = one(
    [
      ['rope_theta', raw.rope_theta],
      ...forms.map(({ field, rule }) => [`${field}.rope_theta`, rule.rope_theta] as const),
    ],
    problems,
  );
  return { ropeTheta: theta ?? defaultTheta, ropeScaling: scalings.find((scaling) => scaling !== null) ?? null };
};

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The two rotary embeddings of a model whose layers with a window have one of their own: from `rope_theta`, `rope_scaling` and `rope_local_base_freq`,
 * or from `rope_parameters` by kind of layer. What is wrong goes to `problems`.
 */
export const parseTwoRopes = (
  json: unknown,
  [theta, localTheta]: readonly [number, number],
  problems: string[],
): (Rope & { readonly localRope: Rope }) | undefined => {
  const all = json as Readonly<Record<string, unknown>>;
  const { rope_parameters: both, rope_local_base_freq: own, ...rest } = all;
  const byKind = isTable(both) ? both : {};
  if (isTable(both) && !('full_attention' in both || 'sliding_attention' in both))
    problems.push('rope_parameters must hold those of full_attention and of sliding_attention');
  const local = { rope_theta: own, rope_parameters: byKind['sliding_attention'] };
  const full = parseRope({ ...rest, rope_parameters: byKind['full_attention'] }, theta, problems);
  const near = parseRope({ ...local, max_position_embeddings: all['max_position_embeddings'] }, localTheta, problems);
  if (near?.ropeScaling)
    problems.push(
      `rope_parameters.sliding_attention of type "${near.ropeScaling.kind}" is not supported; "default" is`,
    );
  return full && near && { ...full, localRope: near };
};
