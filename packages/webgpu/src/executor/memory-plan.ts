/** A stretch of steps during which memory is needed, both ends included. */
export interface Lifetime {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

/** Which buffer each value takes. */
export interface MemoryPlan {
  /** Bytes of each buffer. */
  readonly buffers: readonly number[];
  /** By the order of the lifetimes: the index of its buffer. */
  readonly bufferOf: readonly number[];
}

/**
 * Shares buffers among values that are never alive together: greedy by size, each value into the smallest buffer that
 * is free for its whole life. Whole buffers and not offsets into one, because WebGPU forbids reading and writing one
 * buffer in one dispatch.
 * Pisarchyk & Lee, 2020, https://arxiv.org/abs/2001.03288
 */
export const planMemory = (lifetimes: readonly Lifetime[]): MemoryPlan => {
  const buffers: { readonly bytes: number; readonly taken: Lifetime[] }[] = [];
  const bufferOf: number[] = [];
  const order = lifetimes.map((_, i) => i).sort((a, b) => lifetimes[b]!.bytes - lifetimes[a]!.bytes || a - b);
  for (const i of order) {
    const life = lifetimes[i]!;
    // Buffers come largest first, so the last that is free is the smallest.
    let at = buffers.length - 1;
    while (at >= 0 && buffers[at]!.taken.some(({ from, to }) => from <= life.to && life.from <= to)) at--;
    if (at < 0) at = buffers.push({ bytes: life.bytes, taken: [] }) - 1;
    buffers[at]!.taken.push(life);
    bufferOf[i] = at;
  }
  return { buffers: buffers.map(({ bytes }) => bytes), bufferOf };
};
