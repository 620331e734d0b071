import { fileURLToPath } from 'node:url';

const inPackage = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Where the bench keeps things. */
export const paths = {
  /** Weights and data, made once from a seed. */
  data: inPackage('.cache/data'),
  /** The peers, which `--setup` installs. */
  peers: process.env['PEFTJS_BENCH_PEERS'] ?? inPackage('.peers'),
  results: inPackage('results'),
  source: inPackage('src'),
} as const;
