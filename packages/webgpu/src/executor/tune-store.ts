import { hashText } from '@peftjs/tensor/executor';
import type { Answer, TuneStore } from './tuner.ts';

/** A place for one text. */
export interface TextPlace {
  /** Null where there is none. */
  read(): Promise<string | null>;
  write(text: string): Promise<void>;
}

const format = 'peftjs-autotune-1';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isAnswer = (value: unknown): value is Answer =>
  isRecord(value) && typeof value['way'] === 'string' && typeof value['kernels'] === 'string';

/** The answers in a text that was written for a device; none where it is anything else. */
const parse = (text: string | null, device: string): Map<string, Answer> => {
  try {
    const file: unknown = JSON.parse(text ?? 'null');
    if (!isRecord(file) || file['format'] !== format || file['device'] !== device || !isRecord(file['answers']))
      return new Map();
    return new Map(
      Object.entries(file['answers']).flatMap(([key, value]) =>
        isAnswer(value) ? [[key, { way: value.way, kernels: value.kernels }] as const] : [],
      ),
    );
  } catch {
    return new Map();
  }
};

/** Keeps the answers of a device as JSON in one place. What can't be read there is as good as not there, and is replaced. */
export const textStore = (place: TextPlace, device: string): TuneStore => {
  const load = async (): Promise<Map<string, Answer>> => parse(await place.read().catch(() => null), device);
  return {
    load,
    save: async (answers) => {
      // Another process may have saved since: what it found first stands, so that what runs from here on agrees.
      const all = await load();
      for (const [key, answer] of answers) if (all.get(key)?.kernels !== answer.kernels) all.set(key, answer);
      const sorted = [...all].sort(([a], [b]) => (a < b ? -1 : 1));
      const text = JSON.stringify({ format, device, answers: Object.fromEntries(sorted) }, null, 1);
      // Without a place to keep them, answers are found anew next time.
      await place.write(`${text}\n`).catch(() => undefined);
    },
  };
};

/** The storage that a browser may have; the types of Node don't tell. */
interface Browser {
  readonly localStorage?: { getItem(name: string): string | null; setItem(name: string, text: string): void };
  readonly navigator?: { readonly userAgent?: string };
}

const browser = globalThis as Browser;

const localStorageOf = (): Browser['localStorage'] | null => {
  try {
    return browser.localStorage ?? null;
  } catch {
    // A page may be kept from it.
    return null;
  }
};

/** In a browser its local storage, or nothing where there is none. */
const browserPlace = (name: string): TextPlace => {
  const storage = localStorageOf();
  return {
    read: async () => storage?.getItem(name) ?? null,
    write: async (text) => storage?.setItem(name, text),
  };
};

/** Where the answers of a device are kept: in Node a file in the user's cache directory, in a browser its local storage. */
export const deviceStore = async (description: string): Promise<TuneStore> => {
  const inNode = typeof process !== 'undefined' && !!process.versions?.node;
  // Browsers don't tell the driver; their own version stands for it.
  const device = inNode ? description : `${description}, ${browser.navigator?.userAgent ?? 'unknown'}`;
  const name = `autotune-${hashText(device)}`;
  if (!inNode) return textStore(browserPlace(`peftjs-${name}`), device);
  const { cachePlace } = await import('./cache-place.ts');
  return textStore(cachePlace(`${name}.json`), device);
};
