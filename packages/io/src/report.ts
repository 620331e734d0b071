/** Characters that a list of problems may take, so that a message keeps within a thousand. */
const most = 600;

/** Problems as an indented list; of those that do not fit only their number is told. */
export const listed = (problems: readonly string[]): string => {
  const lines: string[] = [];
  let left = most;
  for (const problem of problems) {
    left -= problem.length;
    if (left < 0 && lines.length > 0) break;
    lines.push(`\n  - ${problem}`);
  }
  if (problems.length > lines.length) lines.push(`\n  - and ${problems.length - lines.length} more`);
  return lines.join('');
};

/** A name out of a file, quoted, with control characters escaped and cut to a length that fits a message. */
export const quote = (name: string): string => JSON.stringify(name.length > 100 ? `${name.slice(0, 97)}...` : name);

/** A value out of a file as JSON, cut as a name is. */
export const shownJson = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
};

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

/** The meaning of the system's error, in words. */
export const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return reasons.get(code) ?? error.message;
};
