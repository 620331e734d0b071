import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { averageAdapters, save } from '@peftjs/core';
import { type CombinationType, mergeAdapters } from '@peftjs/lora';
import { mera } from '@peftjs/multitask';
import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { result } from '../context.ts';
import { templateFile } from '../conversation.ts';
import { numberIn } from '../sampling.ts';
import { withSession } from '../session.ts';

const weightsOf = (given: unknown, adapters: number): readonly number[] => {
  if (given === undefined) return Array.from({ length: adapters }, () => 1 / adapters);
  const weights = String(given).split(',').map(Number);
  if (weights.length === adapters && weights.every(Number.isFinite)) return weights;
  throw new PeftError(
    'bad-option',
    `combine: --weights is ${String(given)}, and must be ${adapters} numbers between commas, one for each adapter`,
  );
};

/**
 * `peftjs combine`: one adapter of several over the same base, with weights; of LoRAs by `--how` (`svd`, `cat`, `linear`, `ties`, `dare_ties`, …), of any other method,
 * alike in all but their values, by `--how average`, and of bottlenecks by `--how mera`. Throws as `mergeAdapters`, `averageAdapters` and `mera`.
 */
export const run = async ({ args, options, context }: Call): Promise<void> => {
  const out = options['out'] as string | undefined;
  if (out === undefined) throw new PeftError('bad-option', 'combine: say where the adapter goes with --out');
  const how = (options['how'] as string | undefined) ?? 'svd';
  await withSession(args, options, async ({ base, voices, executor }) => {
    if (voices.length < 2)
      throw new PeftError('bad-option', `combine: takes two adapters or more, got ${voices.length}`);
    const weights = weightsOf(options['weights'], voices.length);
    const adapters = voices.map(({ adapted }) => adapted);
    const [rank, density] = [numberIn(options, 'rank', true), numberIn(options, 'density')];
    const average = { average: averageAdapters, mera }[how];
    const made = average
      ? { adapted: await average(adapters, { executor, weights }), errors: new Map<string, number>() }
      : await mergeAdapters(adapters, {
          executor,
          weights,
          how: how as CombinationType,
          ...(rank !== undefined && { rank }),
          ...(density !== undefined && { density }),
        });
    await save(made.adapted, out, { executor, baseModel: base.name });
    const template = voices[0]!.template;
    if (template !== null) await writeFile(join(out, templateFile), template);
    const error = Math.max(0, ...made.errors.values());
    const names = voices.map(({ name }, i) => `${weights[i]!.toFixed(3)} × ${name}`).join(' + ');
    result(
      context,
      { adapter: out, how, weights, error },
      `Adapter: ${out} = ${names} by ${how}${error > 1e-6 ? `; at most ${(100 * error).toPrecision(3)} % of a layer's sum is lost` : ''}`,
    );
  });
};
