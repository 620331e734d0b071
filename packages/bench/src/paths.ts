import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const inPackage = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Where the bench keeps things. */
export const paths: {
  /** Weights and data, made once from a seed. */
  readonly data: string;
  /** The peers, which `--setup` installs; `PEFTJS_BENCH_PEERS` names another folder. */
  readonly peers: string;
  readonly results: string;
  readonly docs: string;
  readonly source: string;
  /** The bundle, in a folder that `--pack` made; null among the sources. */
  readonly packed: string | null;
} = {
  data: inPackage('.cache/data'),
  peers: process.env['PEFTJS_BENCH_PEERS'] ?? inPackage('.peers'),
  results: inPackage('results'),
  docs: inPackage('../../docs'),
  source: inPackage('src'),
  packed: existsSync(inPackage('app/start.mjs')) ? inPackage('app') : null,
};
