/** A base that a method is tried on: an architecture and a storage format. */
export interface Base {
  readonly family: string;
  readonly format: string;
}

/** A base, how much is tried there, and on which executors beside `reference`. */
export interface Cell extends Base {
  /**
   * `all` laws of a method; those that the storage `format` has a part in; those that the `family` has a part in; or `none`, where other
   * cells have tried both.
   */
  readonly laws: 'all' | 'format' | 'family' | 'none';
  readonly executors: 'every' | 'cpu';
}

/** The names along both axes; the first of each is the one that all laws are tried on. */
export interface Axes {
  readonly families: readonly string[];
  readonly formats: readonly string[];
  /** The packed format that every executor is tried on. */
  readonly packed: string;
}

/** A number of a name, the same everywhere: where in the axes a method begins. */
const turnOf = (name: string): number => [...name].reduce((n, letter) => (n * 31 + letter.charCodeAt(0)) % 9973, 7);

/**
 * The bases for the laws of one method. All laws hold on the first family, dense, on every executor, and those of formats on it with one packed
 * format; the rest of both axes is covered by as few bases as the longer one has names, on `cpu`. Methods begin at different places, so that
 * together they also meet most pairs of family and format. N methods and M bases then cost N + M, not N × M.
 */
export const selectionFor = (method: string, { families, formats, packed }: Axes): readonly Cell[] => {
  const [family, dense] = [families[0]!, formats[0]!];
  const [others, rest] = [families.slice(1), formats.filter((format) => format !== dense && format !== packed)];
  // Where one axis has nothing left, any of its names goes with what the other one has left.
  const [along, across] = [others.length > 0 ? others : families, rest.length > 0 ? rest : formats];
  const length = Math.max(others.length, rest.length);
  const turn = turnOf(method);
  return [
    { family, format: dense, laws: 'all', executors: 'every' },
    { family, format: packed, laws: 'format', executors: 'every' },
    ...Array.from({ length }, (_, i): Cell => {
      const [f, s] = [along[i % along.length]!, across[(i + turn) % across.length]!];
      return { family: f, format: s, laws: i < others.length ? 'family' : 'none', executors: 'cpu' };
    }),
  ];
};

/** The one of several towers of pictures that a method over texts is tried on: methods together meet them all. */
export const pictureFor = <T extends string>(method: string, towers: readonly [T, ...T[]]): T =>
  towers[turnOf(method) % towers.length]!;

/** Every base: the full product. */
export const fullProduct = ({ families, formats }: Axes): readonly Cell[] =>
  families.flatMap((family) =>
    formats.map((format, i): Cell => ({ family, format, laws: i === 0 ? 'all' : 'format', executors: 'every' })),
  );
