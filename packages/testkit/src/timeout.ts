/** Milliseconds that a law may take: Vitest's own limit is too short for a software GPU, or a machine that is busy. */
export const timeout = 120_000;
