import { escapeHtml } from '../report/html.ts';

/** A candidate's losses by the steps that it was given. */
export interface Line {
  readonly label: string;
  readonly group: string;
  readonly points: readonly { readonly steps: number; readonly loss: number }[];
}

/** Okabe & Ito, 2008: told apart by the colour-blind too. https://jfly.uni-koeln.de/color/ */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8a6d00', '#7d7d7d'];

const [width, height, left, right, top, bottom] = [680, 380, 62, 180, 20, 44];

/** A scale of some values onto pixels, a little beyond both ends. */
const scaleOf = (values: readonly number[], from: number, to: number): ((value: number) => number) => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const beyond = 0.06 * (most - least || 1);
  return (value) => from + ((value - least + beyond) / (most - least + 2 * beyond)) * (to - from);
};

const text = (x: number, y: number, anchor: string, content: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${escapeHtml(content)}</text>`;

/** The picture of a search by halving, in SVG: each candidate a line over the steps that it was given, on a logarithmic axis; the colour is the method's. */
export const halvingFigure = (lines: readonly Line[]): string => {
  const points = lines.flatMap((line) => line.points);
  const efforts = [...new Set(points.map(({ steps }) => steps))].sort((a, b) => a - b);
  const losses = points.map(({ loss }) => loss);
  const groups = [...new Set(lines.map(({ group }) => group))];
  const at = scaleOf(
    efforts.map((steps) => Math.log(steps)),
    left,
    width - right,
  );
  const x = (steps: number): number => at(Math.log(steps));
  const y = scaleOf(losses, height - bottom, top);
  const [least, most] = [Math.min(...losses), Math.max(...losses)];
  const grid = [0, 1, 2, 3, 4].map((i) => {
    const loss = least + ((most - least) * i) / 4;
    return `<path d="M${left} ${y(loss).toFixed(1)}H${width - right}" stroke="#8884"/>${text(left - 6, y(loss) + 4, 'end', loss.toFixed(3))}`;
  });
  const colourOf = (group: string): string => colours[groups.indexOf(group) % colours.length]!;
  const drawn = lines.map(({ label, group, points: own }) => {
    const path = own.map(({ steps, loss }) => `${x(steps).toFixed(1)} ${y(loss).toFixed(1)}`).join('L');
    const dots = own
      .map(
        ({ steps, loss }) =>
          `<circle cx="${x(steps).toFixed(1)}" cy="${y(loss).toFixed(1)}" r="3.5" fill="${colourOf(group)}"><title>${escapeHtml(`${label}, ${steps} steps: ${loss.toFixed(4)}`)}</title></circle>`,
      )
      .join('');
    return `<path d="M${path}" fill="none" stroke="${colourOf(group)}" stroke-width="1.6"/>${dots}`;
  });
  const legend = groups.map(
    (group, i) =>
      `<circle cx="${width - right + 24}" cy="${top + 14 + 20 * i}" r="5" fill="${colourOf(group)}"/>${text(width - right + 36, top + 18 + 20 * i, 'start', group)}`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">`,
    `<title>Held-out loss of ${lines.length} candidates by steps</title>`,
    ...grid,
    ...efforts.map((steps) => text(x(steps), height - bottom + 18, 'middle', String(steps))),
    text((left + width - right) / 2, height - 8, 'middle', 'steps of a trial'),
    text(left, 12, 'start', 'held-out loss'),
    ...drawn,
    ...legend,
    '</svg>\n',
  ].join('\n');
};

const style = `
:root { color-scheme: light dark; } body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .4rem; } svg { max-width: 100%; height: auto; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; } :is(th, td) { text-align: right; padding: .35rem .8rem; border-bottom: 1px solid #8883; white-space: nowrap; }
:is(th, td):first-child { text-align: left; }`;

/** The page of a search: its figure and its table. It needs no network. */
export const searchPage = (
  summary: string,
  figure: string,
  [head = [], ...rows]: readonly (readonly string[])[],
): string => {
  const row = (cell: 'td' | 'th', cells: readonly string[]): string =>
    `<tr>${cells.map((one) => `<${cell}>${escapeHtml(one)}</${cell}>`).join('')}</tr>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Search</title>
<style>${style}</style>
</head>
<body>
<h1>Search</h1>
<p>${escapeHtml(summary)}</p>
${figure}
<h2>Trials</h2>
<div class="wide"><table><thead>${row('th', head)}</thead><tbody>${rows.map((cells) => row('td', cells)).join('\n')}</tbody></table></div>
</body>
</html>
`;
};
