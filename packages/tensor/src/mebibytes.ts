/** Bytes for people. */
export const mebibytes = (bytes: number): string => {
  const size = bytes / 2 ** 20;
  return `${(size < 10 ? Math.ceil(size * 10) / 10 : Math.ceil(size)).toLocaleString('en-US')} MiB`;
};
