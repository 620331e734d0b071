/// <reference types="node" />
import { PeftError } from '@peftjs/tensor';

/** The modules of Node that are used here. */
interface NodeModules {
  readonly 'node:crypto': typeof import('node:crypto');
  readonly 'node:module': typeof import('node:module');
  readonly 'node:fs/promises': typeof import('node:fs/promises');
  readonly 'node:os': typeof import('node:os');
  readonly 'node:path': typeof import('node:path');
  readonly 'node:url': typeof import('node:url');
}

/** Whether this is Node, or a runtime with its modules, as Deno and Bun. */
export const isNode = (): boolean => typeof process !== 'undefined' && process.versions?.node !== undefined;

/**
 * A module of Node. It is asked for by name when it is used, so that bundles for browsers need not know what it is. Throws `bad-option` where there is none; `instead` says what to do
 * there.
 */
export const fromNode = <M extends keyof NodeModules>(
  name: M,
  instead = 'paths on disk can be used in Node alone; here, give a URL or `Files`',
): NodeModules[M] => {
  if (isNode()) return process.getBuiltinModule(name) as NodeModules[M];
  throw new PeftError('bad-option', instead);
};
