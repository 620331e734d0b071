import type { Picture } from './picture.ts';

/** How pixels are weighed, by Pillow's names. */
export type Resample = 'nearest' | 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos';

interface Filter {
  /** The weight of a pixel so far away, in pixels of the smaller picture. */
  readonly weight: (x: number) => number;
  /** Pixels farther away have none. */
  readonly reach: number;
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

const filters: Readonly<Record<Exclude<Resample, 'nearest'>, Filter>> = {
  box: { weight: (x) => Number(x > -0.5 && x <= 0.5), reach: 0.5 },
  bilinear: { weight: (x) => Math.max(0, 1 - Math.abs(x)), reach: 1 },
  hamming: {
    weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(Math.PI * x))),
    reach: 1,
  },
  // Catmull and Rom's: a = −½.
  bicubic: {
    weight: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
    reach: 2,
  },
  lanczos: { weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0), reach: 3 },
};

/** The pixels of a line that one of a new line is made of, and their weights in parts of 2²². */
interface Taps {
  readonly first: number;
  readonly weights: Int32Array;
}

const bits = 22;

/** The taps of a line of another length: where it becomes shorter, filters are as much wider. */
const tapsOf = (from: number, to: number, { weight, reach }: Filter): readonly Taps[] => {
  const scale = from / to;
  const wider = Math.max(1, scale);
  const support = reach * wider;
  return Array.from({ length: to }, (_, at) => {
    const center = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    const weights = Float64Array.from({ length: end - first }, (_, i) =>
      weight((i + first - center + 0.5) * (1 / wider)),
    );
    const total = weights.reduce((a, b) => a + b, 0);
    const whole = (w: number): number => {
      const shareOfAll = (total === 0 ? w : w / total) * (1 << bits);
      return Math.trunc(shareOfAll < 0 ? shareOfAll - 0.5 : shareOfAll + 0.5);
    };
    return { first, weights: Int32Array.from(weights, whole) };
  });
};

/** Lines of `from` pixels become lines of as many as there are taps; `step` values lie between neighbours of a line. */
const resampled = (
  data: Uint8Array,
  taps: readonly Taps[],
  {
    lines,
    from,
    step,
    lineAt,
  }: {
    readonly lines: number;
    readonly from: number;
    readonly step: number;
    readonly lineAt: (line: number, length: number) => number;
  },
): Uint8Array => {
  const to = taps.length;
  const out = new Uint8Array(lines * to);
  for (let line = 0; line < lines; line++) {
    const [start, startOut] = [lineAt(line, from), lineAt(line, to)];
    for (const [at, { first, weights }] of taps.entries()) {
      let sum = 1 << (bits - 1);
      for (let i = 0; i < weights.length; i++) sum += data[start + (first + i) * step]! * weights[i]!;
      out[startOut + at * step] = Math.min(255, Math.max(0, Math.floor(sum / (1 << bits))));
    }
  }
  return out;
};

const nearest = ({ width, height, channels, data }: Picture, newWidth: number, newHeight: number): Uint8Array => {
  const out = new Uint8Array(newWidth * newHeight * channels);
  const places = (from: number, to: number): Int32Array =>
    Int32Array.from({ length: to }, (_, i) => Math.min(from - 1, Math.floor((i + 0.5) * (from / to))));
  const [columns, rows] = [places(width, newWidth), places(height, newHeight)];
  for (let y = 0; y < newHeight; y++)
    for (let x = 0; x < newWidth; x++)
      for (let c = 0; c < channels; c++)
        out[(y * newWidth + x) * channels + c] = data[(rows[y]! * width + columns[x]!) * channels + c]!;
  return out;
};

/** Each row as a row of another length. */
const inRows = ({ width: from, height, channels, data }: Picture, width: number, filter: Filter): Picture => ({
  width,
  height,
  channels,
  data: resampled(data, tapsOf(from, width, filter), {
    lines: height * channels,
    from,
    step: channels,
    lineAt: (line, length) => Math.floor(line / channels) * length * channels + (line % channels),
  }),
});

/** Each column as a column of another length. */
const inColumns = ({ width, height: from, channels, data }: Picture, height: number, filter: Filter): Picture => ({
  width,
  height,
  channels,
  data: resampled(data, tapsOf(from, height, filter), {
    lines: width * channels,
    from,
    step: width * channels,
    lineAt: (line) => line,
  }),
});

/**
 * A picture in another size: its rows and its columns, one after the other, as weighted means of near pixels, in whole numbers. Where it becomes smaller
 * the filter is wider, so that no pixel is left out. To the bit as Pillow 13 does it, which begins with the columns where height shrinks by more than twice as much as width (earlier ones
 * always begin with the rows: then some values differ by 1). https://github.com/python-pillow/Pillow, `src/libImaging/Resample.c`.
 */
export const resize = (image: Picture, width: number, height: number, how: Resample): Picture => {
  if (image.width === width && image.height === height) return image;
  if (how === 'nearest') return { width, height, channels: image.channels, data: nearest(image, width, height) };
  const filter = filters[how];
  const rows = (of: Picture): Picture => (of.width === width ? of : inRows(of, width, filter));
  const columns = (of: Picture): Picture => (of.height === height ? of : inColumns(of, height, filter));
  const [shorter, narrower] = [image.height - height, image.width - width];
  return shorter > 0 && shorter > 2 * narrower ? rows(columns(image)) : columns(rows(image));
};
