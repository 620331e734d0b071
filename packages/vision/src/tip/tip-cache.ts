/** Pictures whose classes are known: n vectors of d values. */
export interface TipCache {
  /** n */
  readonly pictures: number;
  /** d */
  readonly width: number;
  readonly classes: number;
  /** [n, d], of length 1. Absent in a configuration, beside which a file has them. */
  readonly keys?: Float32Array;
  /** [n], the class of each. Absent as they are. */
  readonly labels?: Int32Array;
}

const isCount = (v: unknown): boolean => Number.isSafeInteger(v) && (v as number) >= 1;

/** Whether a value is such pictures. */
export const isTipCache = (v: unknown): v is TipCache => {
  if (typeof v !== 'object' || v === null) return false;
  const { pictures, width, classes, keys, labels } = v as Partial<TipCache>;
  if (![pictures, width, classes].every(isCount)) return false;
  if (keys === undefined && labels === undefined) return true;
  return (
    keys instanceof Float32Array &&
    labels instanceof Int32Array &&
    keys.length === pictures! * width! &&
    labels.length === pictures &&
    labels.every((label) => label >= 0 && label < classes!)
  );
};
