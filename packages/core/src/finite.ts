import { PeftError } from '@peftjs/tensor';

/** The first value that is no finite number, in words; null where all are. */
export const notFinite = (data: ArrayLike<number>): string | null => {
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return `${data[i]} at ${i}`;
  return null;
};

/** Throws `bad-adapter` with the tensors of a file that hold NaN or Infinity. */
export const checkFinite = (tensors: ReadonlyMap<string, { readonly data: ArrayLike<number> }>): void => {
  const found = [...tensors].flatMap(([name, { data }]) => {
    const bad = notFinite(data);
    return bad ? [`${name} holds ${bad}`] : [];
  });
  if (found.length === 0) return;
  const more = found.length > 5 ? ` and ${found.length - 5} more` : '';
  throw new PeftError(
    'bad-adapter',
    `the adapter is not finite: ${found.slice(0, 5).join('; ')}${more}. Its training diverged, or the file is damaged; take an earlier one.`,
  );
};
