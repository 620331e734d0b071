/** One call of `dispatchWorkgroups`: x by y workgroups, of which the first has the linear index `first`. */
export interface Launch {
  readonly x: number;
  readonly y: number;
  readonly first: number;
}

/**
 * Splits a linear number of workgroups into launches of at most `limit` per dimension: full rows, then the rest, so
 * that no workgroup runs beyond the count and kernels need no check for it.
 */
export const foldWorkgroups = (count: number, limit: number): Launch[] => {
  const launches: Launch[] = [];
  const block = limit * limit;
  for (let first = 0; first < count; ) {
    const left = Math.min(count - first, block);
    const y = Math.floor(left / limit);
    const launch = y > 0 ? { x: limit, y, first } : { x: left, y: 1, first };
    launches.push(launch);
    first += launch.x * launch.y;
  }
  return launches;
};
