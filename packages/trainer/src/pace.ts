/** Tokens and seconds of the steps, from the start of the first until they are read; the first one, in which the device warms up, counts only when it is alone. */
export const makePace = (): {
  start(): void;
  read(steps: readonly { readonly tokens: number }[]): void;
  recent(): number;
  overall(): number;
  secondsPerStep(): number;
} => {
  const read: { tokens: number; seconds: number; steps: number }[] = [];
  let begun: number | null = null;
  const total = (list: typeof read, key: 'tokens' | 'seconds' | 'steps'): number =>
    list.reduce((n, r) => n + r[key], 0);
  const warm = (): typeof read => (read.length > 1 ? read.slice(1) : read);
  const rate = (list: typeof read): number => total(list, 'tokens') / total(list, 'seconds');
  return {
    start: () => void (begun ??= performance.now()),
    read: (steps) => {
      if (begun === null || steps.length === 0) return;
      const tokens = steps.reduce((n, s) => n + s.tokens, 0);
      read.push({ tokens, seconds: (performance.now() - begun) / 1000, steps: steps.length });
      begun = null;
    },
    recent: () => rate(warm().slice(-10)),
    overall: () => rate(warm()),
    secondsPerStep: () => total(warm().slice(-10), 'seconds') / total(warm().slice(-10), 'steps'),
  };
};
