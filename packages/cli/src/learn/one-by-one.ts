import { fromArray, pipe, type Stage } from '@peftjs/data';

/** The rows that a stage makes of one item. Throws what the stage throws of it, without a place, which is the caller's to say. */
export const oneByOne =
  <A, B>(stage: Stage<A, B>): ((item: A) => Promise<readonly B[]>) =>
  async (item) => {
    const rows: B[] = [];
    try {
      for await (const row of pipe(fromArray([item]), stage).open()) rows.push(row);
    } catch (error) {
      throw (error as Error).cause ?? error;
    }
    return rows;
  };
