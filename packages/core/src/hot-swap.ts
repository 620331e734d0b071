import { checkOptions, type OnExecutor, onExecutor, PeftError } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import { unlikeness } from './unlikeness.ts';

/**
 * Puts the values of one adapter in the place of another's on an executor: every program compiled over `adapted` uses them from its next
 * run on, without compiling again. `source` comes from `load`, or is trained on the same executor; it stays as it is. A program has an
 * adapter's configuration built in (ranks, scales, targets), so that must be the same. Throws `state-mismatch` with all that differs; then
 * nothing was changed.
 */
export const hotSwap = async (adapted: Adapted<Model>, source: Adapted<Model>, options: OnExecutor): Promise<void> => {
  checkOptions('hotSwap', onExecutor, options);
  const { executor } = options;
  const problems = unlikeness(adapted, source);
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `hotSwap: the compiled programs have another adapter built in: ${problems.join('; ')}. Attach it as an adapter of its own.`,
    );
  const values = await Promise.all([...adapted.state.keys()].map((name) => executor.read(source.state.get(name)!)));
  for (const [i, v] of [...adapted.state.values()].entries()) await executor.write(v, values[i]!);
};
