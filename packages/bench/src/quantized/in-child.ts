import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { paths } from '../paths.ts';

/** The JSON that a script of the bench (a path within `src`) writes, in a process of its own, whose memory is that of its run. */
export const inChild = async <T>(script: string, args: readonly string[]): Promise<T> => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--conditions=@peftjs/source', '--import', 'tsx'],
    join(paths.source, script),
    ...args,
  ]);
  return JSON.parse(stdout) as T;
};
