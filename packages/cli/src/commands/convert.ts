import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';

/**
 * `peftjs convert`: an adapter written anew, or with the word `config` in front a configuration of another trainer as `run.yaml`. Each is a file of its own, since
 * the one loads models and the other does not. Throws `bad-option`.
 */
export const run = async (call: Call): Promise<void> => {
  const [first, ...others] = call.args;
  if (first === 'config') {
    const { convertConfigFile } = await import('../foreign/convert-config-file.ts');
    return convertConfigFile(others, call);
  }
  if (call.args.length !== 2)
    throw new PeftError('bad-option', 'convert: give an adapter and a folder for it: peftjs convert ADAPTER OUT');
  const { convertAdapter } = await import('../convert-adapter.ts');
  return convertAdapter(first!, others[0]!, call);
};
