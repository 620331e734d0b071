import type { Measured } from './measure.ts';

const [width, height, left, top, right, bottom] = [760, 460, 64, 24, 24, 48];
const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** A colour for each kind of format. */
const kinds: readonly (readonly [RegExp, string, string])[] = [
  [/^ggml/, '#8a5a00', 'GGML'],
  [/^quantizeByGptq/, '#b3261e', 'GPTQ'],
  [/^hqq/, '#6a3fa0', 'HQQ'],
  [/^(nf|fp)/, '#00695c', 'NormalFloat, floats'],
  [/./, '#1a4e8a', 'whole numbers'],
];
const colourOf = (name: string): string => kinds.find(([pattern]) => pattern.test(name))![1];

/** 10⁻⁵, 1, 10²: short enough for the margin. */
const powerOfTen = (log: number): string =>
  log === 0 ? '1' : `10${[...String(log)].map((c) => (c === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(c)])).join('')}`;

/** Predictions' loss against bits a weight, as SVG; losses on a logarithmic axis. */
export const figure = (rows: readonly Measured[]): string => {
  const logs = rows.map(({ moved }) => Math.log10(moved));
  const [low, high] = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))];
  const x = (bits: number): number => left + ((bits - 2) / 7) * (width - left - right);
  const y = (log: number): number => top + ((high - log) / (high - low)) * (height - top - bottom);
  const grid = Array.from({ length: high - low + 1 }, (_, i) => low + i).map(
    (log) =>
      `<line x1="${left}" x2="${width - right}" y1="${y(log)}" y2="${y(log)}" stroke="#ddd"/>` +
      `<text x="${left - 8}" y="${y(log) + 4}" text-anchor="end">${powerOfTen(log)}</text>`,
  );
  const ticks = [2, 3, 4, 5, 6, 7, 8, 9].map(
    (bits) => `<text x="${x(bits)}" y="${height - bottom + 18}" text-anchor="middle">${bits}</text>`,
  );
  const points = rows.map(
    ({ name, bits, moved }) =>
      `<circle cx="${x(bits).toFixed(1)}" cy="${y(Math.log10(moved)).toFixed(1)}" r="4" fill="${colourOf(name)}"><title>${escape(`${name}: ${bits.toFixed(2)} bits, ${moved.toFixed(4)}`)}</title></circle>`,
  );
  const legend = kinds.map(
    ([, colour, label], i) =>
      `<circle cx="${width - 190}" cy="${top + 12 + 20 * i}" r="4" fill="${colour}"/><text x="${width - 178}" y="${top + 16 + 20 * i}">${label}</text>`,
  );
  const axes =
    `<text x="${(left + width - right) / 2}" y="${height - 10}" text-anchor="middle">bits a weight</text>` +
    `<text x="16" y="${height / 2}" text-anchor="middle" transform="rotate(-90 16 ${height / 2})">nats a token that predictions move</text>`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">` +
    `<title>Predictions against bits</title><rect width="100%" height="100%" fill="#fff"/>${[...grid, ...ticks, ...points, ...legend, axes].join('\n')}</svg>\n`
  );
};
