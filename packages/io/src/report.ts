const shown = 20;

/** Problems as an indented list; after the first twenty only their number is told. */
export const listed = (problems: readonly string[]): string => {
  const lines = problems.slice(0, shown).map((problem) => `\n  - ${problem}`);
  if (problems.length > shown) lines.push(`\n  - and ${problems.length - shown} more`);
  return lines.join('');
};

/** A name out of a file, quoted, with control characters escaped and cut to a length that fits a message. */
export const quote = (name: string): string => JSON.stringify(name.length > 100 ? `${name.slice(0, 97)}...` : name);

const reasons: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'there is no such file or folder'],
  ['ENOTDIR', 'a part of the path is a file, not a folder'],
  ['EACCES', 'permission is missing'],
  ['EPERM', 'permission is missing'],
  ['EISDIR', 'it is a folder, not a file'],
  ['ENOSPC', 'the disk is full'],
  ['EROFS', 'the disk is read-only'],
  ['EMFILE', 'too many files are open'],
]);

/** What the system's error means, in words. */
export const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return reasons.get(code) ?? error.message;
};
