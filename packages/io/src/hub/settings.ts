import { PeftError } from '@peftjs/tensor';
import { fromNode, isNode } from '../files/from-node.ts';
import { quote } from '../report.ts';
import type { HubOptions } from './hub-files.ts';

/** The hub that is asked. */
export interface Hub {
  /** Its address, without a slash at the end. */
  readonly endpoint: string;
  /** Null for none. */
  readonly token: string | null;
  readonly send: typeof fetch;
}

/** The hub and the cache that options and the environment say. */
export interface Settings extends Hub {
  /** The folder of the cache. */
  readonly cache: string;
  readonly offline: boolean;
}

const environment = (name: string): string | undefined =>
  (isNode() ? process.env[name] : undefined)?.trim() || undefined;

/** As Python's tools read a flag. */
const isSet = (name: string): boolean => /^(1|on|yes|true)$/i.test(environment(name) ?? '');

/** Whether a token is sent only where the options have one. */
const isAlone = (): boolean => isSet('HF_HUB_DISABLE_IMPLICIT_TOKEN');

/** A token as it is sent. What no header takes would be told in the error of the request, so it is refused here, untold. Throws `bad-option`. */
const sound = (token: string, from: string): string | null => {
  const bare = token.trim();
  if (bare === '') return null;
  if (/^[\x21-\x7e]+$/.test(bare)) return bare;
  throw new PeftError('bad-option', `the hub's token of ${from} has characters that a token has not. Copy it again.`);
};

/** The hub that is asked where files are read by ranges. Throws `bad-option` for an address or a token that is none. */
export const hubOf = ({ token, endpoint, fetch: send = fetch }: HubOptions): Hub => {
  const address = endpoint ?? environment('HF_ENDPOINT') ?? 'https://huggingface.co';
  if (!/^https?:\/\//i.test(address))
    throw new PeftError('bad-option', `HF_ENDPOINT is ${quote(address)}, and the hub's address begins with https://`);
  const own = environment('HF_TOKEN') ?? environment('HUGGING_FACE_HUB_TOKEN') ?? '';
  const given = token === undefined ? sound(isAlone() ? '' : own, 'HF_TOKEN') : sound(token ?? '', 'the options');
  return { endpoint: address.replace(/\/+$/, ''), token: given, send };
};

/** A path with what a shell puts in place of `~` and `$NAME`. */
const expanded = (path: string, home: string): string =>
  path.replace(/^~(?=$|[/\\])/, home).replace(/\$(?:\{(\w+)\}|(\w+))/g, (all, a, b) => environment(a ?? b) ?? all);

/** The hub and its cache, as Python's tools find them: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables. For Node alone. Throws `bad-option`. */
export const settingsOf = async (options: HubOptions): Promise<Settings> => {
  const { join } = fromNode('node:path');
  const { readFile } = fromNode('node:fs/promises');
  const user = fromNode('node:os').homedir();
  const shared = environment('XDG_CACHE_HOME') ?? join(user, '.cache');
  const home = expanded(environment('HF_HOME') ?? join(shared, 'huggingface'), user);
  const cache = environment('HF_HUB_CACHE') ?? environment('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub');
  const hub = hubOf(options);
  const tokenPath = expanded(environment('HF_TOKEN_PATH') ?? join(home, 'token'), user);
  const isImplicit = options.token === undefined && hub.token === null && !isAlone();
  const kept = isImplicit ? await readFile(tokenPath, 'utf8').catch(() => '') : '';
  return {
    ...hub,
    token: hub.token ?? sound(kept, tokenPath),
    cache: options.cache ?? expanded(cache, user),
    offline: options.offline ?? (isSet('HF_HUB_OFFLINE') || isSet('TRANSFORMERS_OFFLINE')),
  };
};
