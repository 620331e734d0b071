import type { Options } from 'tsup';

type Plugin = NonNullable<Options['plugins']>[number];

/**
 * Drops imports of other files of the package that take nothing from them (`import './chunk.js';`), which are there for the order of side effects alone, of which
 * there are none. A bundler that goes by files would take along all that they name, such as families of models that are to come when asked for.
 */
export const withoutBareImports: Plugin = {
  name: 'without-bare-imports',
  renderChunk(code, chunk) {
    if (!chunk.path.endsWith('.js')) return;
    return { code: code.replaceAll(/^import "\.\.?\/[^"]+";\n/gm, ''), map: chunk.map ?? null };
  },
};
