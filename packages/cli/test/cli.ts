import { type MainOptions, main } from '../src/main.ts';

/** How a call of the command ended, and what it wrote. */
export interface Called {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** How it is called. */
interface CallOptions {
  /** Those of the terminal; without them there is none. */
  readonly columns?: number;
  /** Sees what it has said so far. */
  readonly onErr?: (text: string) => void;
}

/** Calls the command in this process, as a terminal of so many columns or as none. */
export const peftjs = async (
  args: readonly string[],
  { columns, onErr, ...options }: Omit<MainOptions, 'out' | 'err'> & CallOptions = {},
): Promise<Called> => {
  const text = { out: '', err: '' };
  const stream = (name: 'out' | 'err') => ({
    ...(columns !== undefined && { isTTY: true, columns }),
    write: (piece: string) => {
      text[name] += piece;
      if (name === 'err') onErr?.(text.err);
    },
  });
  const code = await main(args, { ...options, out: stream('out'), err: stream('err') });
  return { code, ...text };
};
