import type { Executor } from './compile.ts';
import { isPeftError, PeftError } from './error.ts';

/** Executors by name, each with the function that opens it. The first ones are preferred. */
export type ExecutorCandidates = Readonly<Record<string, () => Promise<Executor> | Executor>>;

/** How to choose. */
export interface ChooseOptions {
  /** Open this one and no other. Default: the environment variable `PEFTJS_DEVICE`, else the first that opens. */
  readonly device?: string | undefined;
}

const fromEnvironment = (): string | undefined =>
  typeof process === 'undefined' ? undefined : process.env['PEFTJS_DEVICE'] || undefined;

/**
 * Opens the first executor whose device is there: `firstAvailable({ webgpu: () => webgpu(), cpu: () => cpu() })`.
 * Only `device-unavailable` passes on to the next. Throws `bad-option` for a name that is not among the candidates, `device-unavailable`
 * with every reason when none opens.
 */
export const firstAvailable = async (
  candidates: ExecutorCandidates,
  { device = fromEnvironment() }: ChooseOptions = {},
): Promise<Executor> => {
  const names = Object.keys(candidates);
  if (device !== undefined) {
    const open = candidates[device];
    if (!open || !names.includes(device))
      throw new PeftError('bad-option', `unknown device ${JSON.stringify(device)}; choose one of ${names.join(', ')}`);
    return open();
  }
  const reasons: string[] = [];
  for (const name of names) {
    try {
      return await candidates[name]!();
    } catch (error) {
      if (!isPeftError(error) || error.code !== 'device-unavailable') throw error;
      reasons.push(`${name}: ${error.message}`);
    }
  }
  throw new PeftError('device-unavailable', `no device is available; ${reasons.join('; ')}`);
};
