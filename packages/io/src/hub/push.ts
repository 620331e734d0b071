import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { unwritten } from '../files/file-errors.ts';
import { partsOf } from '../files/file-path.ts';
import { sha256 } from '../files/sha256.ts';
import { again, answerOf, networkReason, passing, rest, tries } from '../files/url-request.ts';
import { isObject } from '../json.ts';
import { quote } from '../report.ts';
import { type Answer, ask } from './ask.ts';
import type { HubOptions } from './hub-files.ts';
import { type HubPlace, parseHub } from './hub-place.ts';
import { type Hub, settingsOf } from './settings.ts';

/** How files are pushed. What is left out of token and address is taken from the environment, as Python's tools take it. */
export interface PushOptions extends Pick<HubOptions, 'token' | 'endpoint' | 'fetch'> {
  /** The commit's first line. Default `Upload with peftjs`. */
  readonly message?: string;
  /** Whether a repository that is made for it is private. Default: what the owner's settings say. One that is there stays as it is. */
  readonly private?: boolean;
}

/** A commit on the hub. */
export interface Pushed {
  readonly commit: string;
  /** Its page. */
  readonly url: string;
}

const isText = (v: unknown): boolean => typeof v === 'string' && v !== '';

/** The rules of options of pushing. */
export const pushRules: Rules<PushOptions> = {
  token: mustBe.such('a text or null', (v) => v === null || typeof v === 'string'),
  endpoint: mustBe.such('an address that begins with http', (v) => typeof v === 'string' && /^https?:\/\//i.test(v)),
  fetch: mustBe.fn,
  message: mustBe.such('a text', isText),
  private: mustBe.flag,
};

interface Push {
  readonly hub: Hub;
  readonly place: HubPlace;
}

const toBase64 = (bytes: Uint8Array): string => {
  let text = '';
  for (let at = 0; at < bytes.length; at += 2 ** 15) text += String.fromCharCode(...bytes.subarray(at, at + 2 ** 15));
  return btoa(text);
};

/** The error of an answer that refuses. The token stands in none. */
const refused = async ({ hub, place }: Push, { response, header }: Answer): Promise<PeftError> => {
  const said = header('x-error-message') ?? (await response.text().catch(() => '')).slice(0, 300);
  const because = said === '' ? '' : `: ${quote(said.replaceAll(hub.token ?? '\0', '…'))}`;
  return new PeftError(
    'write-failed',
    `${place.name}: ${hub.endpoint} does not take it: ${answerOf(response)}${because}. Nothing was committed. The token must be allowed to write there.`,
  );
};

const json = async (push: Push, path: string, body: unknown, type = 'application/json'): Promise<Answer> =>
  ask(push.hub, push.place.name, {
    path,
    method: 'POST',
    headers: { 'content-type': type, accept: type === 'application/x-ndjson' ? 'application/json' : type },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

/** The object that the hub answers with. Throws `write-failed`. */
const answered = async (push: Push, answer: Answer): Promise<Record<string, unknown>> => {
  if (!answer.response.ok) throw await refused(push, answer);
  const value: unknown = await answer.response.json().catch(() => null);
  if (isObject(value)) return value;
  throw unwritten(
    push.place.name,
    new Error(`${push.hub.endpoint} answers with what is no object`),
    'Nothing was committed',
  );
};

const listIn = (push: Push, answer: Record<string, unknown>, field: string): readonly Record<string, unknown>[] => {
  const list = answer[field];
  if (Array.isArray(list) && list.every(isObject)) return list;
  throw unwritten(push.place.name, new Error(`${push.hub.endpoint} answers without ${field}`), 'Nothing was committed');
};

/** Makes the repository where there is none: 409 says that there is. */
const makeRepository = async (push: Push, isPrivate: boolean | undefined): Promise<void> => {
  const { kind, repo } = push.place;
  const [name, organization] = repo.split('/').reverse();
  const body = {
    name,
    ...(organization !== undefined && { organization }),
    type: kind.slice(0, -1),
    ...(isPrivate !== undefined && { private: isPrivate }),
  };
  const answer = await json(push, '/api/repos/create', body);
  if (!answer.response.ok && answer.response.status !== 409) throw await refused(push, answer);
  await answer.response.body?.cancel();
};

/** Sends bytes to where an action says, again where that fails for a moment; the token to the hub alone. Throws `write-failed`. */
const send = async (
  { hub, place }: Push,
  action: Record<string, unknown>,
  method: 'PUT' | 'POST',
  body: Uint8Array<ArrayBuffer> | string,
): Promise<void> => {
  const url = new URL(String(action['href']));
  const own = isObject(action['header']) ? (action['header'] as Record<string, string>) : {};
  const isHub = url.origin === new URL(hub.endpoint).origin && hub.token !== null;
  const headers = {
    ...(method === 'POST' && { 'content-type': 'application/vnd.git-lfs+json' }),
    ...(isHub && { authorization: `Bearer ${hub.token}` }),
    ...own,
  };
  const fail = (why: unknown): PeftError => unwritten(place.name, why, 'Nothing was committed');
  for (let attempt = 1; ; attempt++) {
    const response = await hub.send(url.href, { method, headers, body }).catch((cause: unknown) => {
      if (attempt >= tries) throw fail(networkReason(cause));
      return null;
    });
    await response?.body?.cancel();
    if (response?.ok) return;
    if (response && !(passing.includes(response.status) && again(attempt, response)))
      throw fail(new Error(`of ${url.host}, where its bytes go, ${answerOf(response)}`));
    await rest(attempt, response);
  }
};

interface Sized {
  readonly oid: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Uploads large files that the hub has not got yet, by the basic transfer of https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md. */
const uploadLarge = async (push: Push, large: readonly Sized[]): Promise<void> => {
  if (large.length === 0) return;
  const { place } = push;
  const body = {
    operation: 'upload',
    transfers: ['basic'],
    hash_algo: 'sha256',
    ref: { name: place.revision },
    objects: large.map(({ oid, bytes }) => ({ oid, size: bytes.length })),
  };
  const path = `${place.kind === 'datasets' ? '/datasets' : ''}/${place.repo}.git/info/lfs/objects/batch`;
  const said = await answered(push, await json(push, path, body, 'application/vnd.git-lfs+json'));
  for (const object of listIn(push, said, 'objects')) {
    const { oid, error, actions } = object;
    const of = large.find((one) => one.oid === oid);
    if (isObject(error) || !of)
      throw unwritten(
        place.name,
        new Error(isObject(error) ? String(error['message']) : 'the hub asks for another file'),
        'Nothing was committed',
      );
    const { upload, verify } = isObject(actions) ? actions : {};
    if (!isObject(upload)) continue;
    if (isObject(upload['header']) && 'chunk_size' in upload['header'])
      throw new PeftError(
        'write-failed',
        `${place.name}: the hub wants a file of ${of.bytes.length} bytes in parts, which is not done here. Nothing was committed.`,
      );
    await send(push, upload, 'PUT', of.bytes);
    if (isObject(verify)) await send(push, verify, 'POST', JSON.stringify({ oid, size: of.bytes.length }));
  }
};

/** `pushFiles`, which loads this when it is called. Source: huggingface_hub, `_commit_api.py` and `lfs.py`. */
export const push = async (
  where: string,
  files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  options: PushOptions,
): Promise<Pushed> => {
  checkOptions('pushFiles', pushRules, options);
  const place = parseHub(where);
  const { message = 'Upload with peftjs', private: isPrivate, ...how } = options;
  const hub = await settingsOf(how);
  if (hub.offline || hub.token === null)
    throw new PeftError(
      'bad-option',
      `${place.name}: ${hub.offline ? 'HF_HUB_OFFLINE is set, and pushing needs the hub' : 'pushing needs a token that may write: HF_TOKEN, or `token`'}`,
    );
  const own: Push = { hub, place };
  const paths = [...files].map(([name, bytes]) => {
    partsOf(place.name, name);
    return { path: place.path === '' ? name : `${place.path}/${name}`, bytes };
  });
  await makeRepository(own, isPrivate);
  const at = `/api/${place.kind}/${place.repo}`;
  const revision = encodeURIComponent(place.revision);
  const asked = paths.map(({ path, bytes }) => ({
    path,
    size: bytes.length,
    sample: toBase64(bytes.subarray(0, 512)),
  }));
  const modes = listIn(
    own,
    await answered(own, await json(own, `${at}/preupload/${revision}`, { files: asked })),
    'files',
  );
  const isLarge = (path: string): boolean =>
    modes.some((mode) => mode['path'] === path && mode['uploadMode'] === 'lfs');
  const large = new Map<string, Sized>();
  for (const { path, bytes } of paths) {
    if (!isLarge(path)) continue;
    const hash = sha256();
    hash.update(bytes);
    large.set(path, { bytes, oid: await hash.digest() });
  }
  await uploadLarge(own, [...large.values()]);
  const lines = [
    { key: 'header', value: { summary: message, description: '' } },
    ...paths.map(({ path, bytes }) => {
      const of = large.get(path);
      return of
        ? { key: 'lfsFile', value: { path, algo: 'sha256', oid: of.oid, size: bytes.length } }
        : { key: 'file', value: { path, encoding: 'base64', content: toBase64(bytes) } };
    }),
  ];
  const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  const made = await answered(own, await json(own, `${at}/commit/${revision}`, body, 'application/x-ndjson'));
  const { commitOid: commit, commitUrl: url } = made;
  if (typeof commit !== 'string' || typeof url !== 'string')
    throw unwritten(
      place.name,
      new Error(`${hub.endpoint} answers without a commit`),
      'Look at its page for what was committed',
    );
  return { commit, url };
};
