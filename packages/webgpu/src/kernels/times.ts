/** f(0), f(1), …, f(n − 1): lines of a text that is unrolled. */
export const times = <T>(n: number, f: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => f(i));
