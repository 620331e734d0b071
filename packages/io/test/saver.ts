// Saves adapters until it is killed: `saver.ts DIR FIRST SIZE [KILL]`. Versions count from FIRST in steps of two, so that two savers don't
// save the same. With KILL it saves one, and kills itself before the so manieth call to the file system; with 0 it prints how many there were.
import { createRequire } from 'node:module';

const [dir = '', first = '', size = '', kill] = process.argv.slice(2);
let calls = 0;

/** Counts the calls of an object's functions. */
const counted = (object: Record<string, unknown>, names: readonly string[]): void => {
  for (const name of names) {
    const own = object[name] as (...args: unknown[]) => Promise<unknown>;
    object[name] = async (...args: unknown[]) => {
      if (++calls === Number(kill)) process.kill(process.pid, 'SIGKILL');
      const result = await own.apply(object, args);
      if (name === 'open') counted(result as Record<string, unknown>, ['writeFile', 'sync', 'chmod', 'close']);
      return result;
    };
  }
};
const fs = createRequire(import.meta.url)('node:fs/promises') as Record<string, unknown>;
if (kill !== undefined)
  counted(fs, ['open', 'rename', 'rm', 'mkdir', 'lstat', 'stat', 'readdir', 'readFile', 'readlink']);

// Loaded once the calls are counted.
const { writeVersion } = await import('./versions.ts');
for (let version = Number(first); ; version += 2) {
  await writeVersion(dir, version, Number(size));
  process.stdout.write(`${kill === undefined ? version : calls}\n`);
  if (kill !== undefined) break;
}
