import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const inPackage = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

const isPacked = existsSync(inPackage('app/start.mjs'));

/** Where the bench keeps things. */
export const paths: {
  /** Weights and data, made once from a seed. */
  readonly data: string;
  /** The peers, which `--setup` installs; `PEFTJS_BENCH_PEERS` names another folder. */
  readonly peers: string;
  readonly results: string;
  readonly docs: string;
  readonly source: string;
  /** The bundle of stacks: made among the sources when it is needed, there in a folder that `--pack` made. */
  readonly app: string;
  /** Whether this is a folder that `--pack` made. */
  readonly isPacked: boolean;
} = {
  data: inPackage('.cache/data'),
  peers: process.env['PEFTJS_BENCH_PEERS'] ?? inPackage('.peers'),
  results: inPackage('results'),
  docs: inPackage('../../docs'),
  source: inPackage('src'),
  app: inPackage(isPacked ? 'app' : '.cache/app'),
  isPacked,
};
