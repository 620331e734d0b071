/** How long a trial is. */
export interface Length {
  readonly steps: number;
  readonly batchSize: number;
}

/** The length of every trial. */
export const length: Length = { steps: 48, batchSize: 4 };
