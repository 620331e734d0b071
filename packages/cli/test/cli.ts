import { type MainOptions, main } from '../src/main.ts';

/** How a call of the command ended, and what it wrote. */
export interface Called {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Calls the command in this process, as a terminal of so many columns or as none. */
export const peftjs = async (
  args: readonly string[],
  { columns, ...options }: Omit<MainOptions, 'out' | 'err'> & { readonly columns?: number } = {},
): Promise<Called> => {
  const text = { out: '', err: '' };
  const stream = (name: 'out' | 'err') => ({
    ...(columns !== undefined && { isTTY: true, columns }),
    write: (piece: string) => void (text[name] += piece),
  });
  const code = await main(args, { ...options, out: stream('out'), err: stream('err') });
  return { code, ...text };
};
