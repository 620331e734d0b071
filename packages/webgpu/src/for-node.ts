/** A module of Node. It is asked for when it is used, so that a bundle for browsers holds no import of it. */
export const fromNode = <M extends 'node:fs' | 'node:fs/promises' | 'node:path'>(name: M): BuiltIns[M] =>
  process.getBuiltinModule(name) as BuiltIns[M];

interface BuiltIns {
  readonly 'node:fs': typeof import('node:fs');
  readonly 'node:fs/promises': typeof import('node:fs/promises');
  readonly 'node:path': typeof import('node:path');
}

/** Packages that are for Node alone. */
interface NodePackages {
  readonly webgpu: typeof import('webgpu');
  readonly 'env-paths': typeof import('env-paths');
}

/** Imports a package that is for Node alone. Its name is not written in the import, so that a bundler for browsers does not follow it. */
export const importInNode = async <P extends keyof NodePackages>(name: P): Promise<NodePackages[P]> =>
  import(/* @vite-ignore */ /* webpackIgnore: true */ name);
