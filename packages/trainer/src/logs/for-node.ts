import { PeftError } from '@peftjs/tensor';

/** The modules of Node that logs use. */
interface NodeModules {
  readonly 'node:fs/promises': typeof import('node:fs/promises');
  readonly 'node:os': typeof import('node:os');
  readonly 'node:path': typeof import('node:path');
}

/** A module of Node, asked for when it is used, so that bundles for browsers need not know what it is. Throws `bad-option` where there is none. */
export const fromNode = <M extends keyof NodeModules>(who: string, name: M): NodeModules[M] => {
  if (typeof process !== 'undefined' && process.versions?.node !== undefined)
    return process.getBuiltinModule(name) as NodeModules[M];
  throw new PeftError('bad-option', `${who}: files are written in Node alone; here, take the numbers from onStep`);
};
