import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import type { Files } from '../files/files.ts';
import { isNode } from '../files/from-node.ts';
import { within } from '../files/within.ts';
import { parseHub } from './hub-place.ts';
import { rangedFiles } from './ranged-files.ts';

/** How far the download of a file is. */
export interface HubProgress {
  /** Its path in the repository. */
  readonly file: string;
  /** Bytes that are there. */
  readonly received: number;
  /** Bytes of the whole; null where the hub does not say. */
  readonly total: number | null;
}

/** How files of the hub are read. What is left out is taken from the environment, as Python's tools take it; a page has none. */
export interface HubOptions {
  /** For private and gated repositories; null for none. Default: `HF_TOKEN`, or what `hf auth login` keeps. */
  readonly token?: string | null;
  /** The address of the hub, or of a mirror. Default: `HF_ENDPOINT`, or `https://huggingface.co`. */
  readonly endpoint?: string;
  /** The folder that files are kept in; null to keep none and read ranges, as in a page. Default: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, which is `~/.cache/huggingface`. */
  readonly cache?: string | null;
  /** Whether only what the cache holds is read. Default: `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  /** Told while files are downloaded into the cache. */
  readonly onProgress?: (progress: HubProgress) => void;
  /** In place of the global one: for a proxy. */
  readonly fetch?: typeof fetch;
}

const rules: Rules<HubOptions> = {
  token: mustBe.such('a text or null', (v) => v === null || typeof v === 'string'),
  endpoint: mustBe.such('an address that begins with http', (v) => typeof v === 'string' && /^https?:\/\//i.test(v)),
  cache: mustBe.such('a folder or null', (v) => v === null || (typeof v === 'string' && v !== '')),
  offline: mustBe.flag,
  onProgress: mustBe.fn,
  fetch: mustBe.fn,
};

/** `hubFiles`, which loads this when it is asked for. */
export const openHub = async (place: string, options: HubOptions): Promise<Files> => {
  checkOptions('hubFiles', rules, options);
  const parsed = parseHub(place);
  const isKept = isNode() && options.cache !== null;
  const files = isKept
    ? await (await import('./cached-files.ts')).cachedFiles(parsed, options)
    : rangedFiles(parsed, options);
  return parsed.path === '' ? files : within(files, parsed.path);
};
