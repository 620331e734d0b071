/** A trial's two aims: both are to be low. */
export interface Aims {
  readonly loss: number | null;
  readonly parameters: number;
}

/** The Pareto front: those that no other beats in one aim without losing in the other, by parameters; the first of equal ones. */
export const paretoFront = <T extends Aims>(trials: readonly T[]): T[] => {
  const sound = trials.filter(({ loss }) => loss !== null);
  const sorted = sound.sort((a, b) => a.parameters - b.parameters || a.loss! - b.loss!);
  const front: T[] = [];
  for (const trial of sorted) if (front.length === 0 || trial.loss! < front.at(-1)!.loss!) front.push(trial);
  return front;
};

/** The strips of what a front leaves open: from `from` to `to` along the second aim nothing has a loss below `level`. */
export interface Strip {
  readonly from: number;
  readonly to: number;
  readonly level: number;
}

/** The strips between a front's points and a reference point that all of them beat; `costs` along the second aim. */
export const strips = (
  front: readonly { readonly loss: number; readonly cost: number }[],
  reference: { readonly loss: number; readonly cost: number },
): Strip[] => {
  const inside = front.filter(({ loss, cost }) => loss < reference.loss && cost < reference.cost);
  const levels = [{ loss: reference.loss, cost: Number.NEGATIVE_INFINITY }, ...inside];
  return levels.map(({ loss, cost }, i) => ({ from: cost, to: inside[i]?.cost ?? reference.cost, level: loss }));
};
