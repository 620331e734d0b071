import { type Curve, chartAssets, chartScript, type SmallChart } from './chart.ts';
import { exampleStyle, examplesOf, type PredictedExample } from './examples.ts';
import { escapeHtml } from './html.ts';

/** The content of the report. */
export interface Report {
  readonly title: string;
  /** How the run was made, one line. */
  readonly summary: string;
  /** Figures in large type. */
  readonly figures: readonly { readonly name: string; readonly value: string; readonly note?: string }[];
  readonly curves: readonly Curve[];
  /** The loss is in nats per one of it. Default: token. */
  readonly unit?: string;
  /** Other values over the steps. */
  readonly charts?: readonly SmallChart[];
  /** The data of the run: facts by name, and how many examples have up to so many tokens. */
  readonly data?: {
    readonly facts: readonly (readonly [name: string, value: string])[];
    readonly lengths: readonly { readonly upTo: number; readonly examples: number }[];
  };
  /** A line for each run; the first row names the columns. */
  readonly table?: readonly (readonly string[])[];
  /** The prompt that both models were given to continue. */
  readonly samples?: {
    /** Default: Samples, same prompt and seed. */
    readonly title?: string;
    readonly prompt: string;
    readonly texts: readonly { readonly name: string; readonly text: string }[];
  };
  /** Examples of classes, and what the model took them for. */
  readonly examples?: {
    readonly shown: readonly PredictedExample[];
    /** Which these are, and how the model does on all. */
    readonly note: string;
  };
}

const style = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --card: #f4f6f9; --page: #ffffff; --accent: #3f6bdd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --card: #1d232c; --page: #13171d; --accent: #7d9ff2; } }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page); }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; } h2 { font-size: 1.1rem; margin: 2.4rem 0 .8rem; }
.soft { color: var(--soft); } .figures { display: flex; flex-wrap: wrap; gap: .8rem; margin-top: 1.6rem; padding: 0; } .figures div { flex: 1 1 calc(100% / var(--columns) - .8rem); min-width: 8rem; box-sizing: border-box; }
.figures div, blockquote { background: var(--card); border-radius: .6rem; padding: .9rem 1rem; margin: 0; }
.figures dt { color: var(--soft); font-size: .85rem; } .figures dd { margin: 0; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.figures small { display: block; color: var(--soft); font-size: .8rem; }
.samples { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: .8rem; }
blockquote { white-space: pre-wrap; overflow-wrap: anywhere; font-family: Georgia, serif; } blockquote b { display: block; font: 600 .85rem system-ui, sans-serif; color: var(--accent); margin-bottom: .4rem; }
.wide { overflow-x: auto; } .wide table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; } .wide th { color: var(--soft); font: 600 .85rem system-ui, sans-serif; }
.wide :is(th, td) { text-align: right; padding: .35rem .8rem; border-bottom: 1px solid #8883; white-space: nowrap; } .wide :is(th, td):first-child { text-align: left; }
.small { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1.2rem 1.6rem; margin-top: 1.2rem; } .small > div { min-width: 0; } h3 { font-size: .9rem; margin: 0 0 .2rem; color: var(--soft); font-weight: 600; }
.facts { display: grid; grid-template-columns: minmax(14rem, 2fr) 3fr; gap: 1.6rem; align-items: end; } @media (max-width: 40rem) { .facts { grid-template-columns: 1fr; } } .facts dl { display: grid; grid-template-columns: 1fr auto; gap: .2rem 1rem; margin: 0; font-variant-numeric: tabular-nums; } .facts dt { color: var(--soft); } .facts dd { margin: 0; text-align: right; }
.bars { width: 100%; height: auto; font-size: 11px; fill: currentColor; } .bars rect { fill: var(--accent); } .prompt { color: var(--soft); } .u-legend { font-size: .85rem; } .u-legend.u-inline.u-live th::after { content: ''; }`;

const figure = ({ name, value, note }: Report['figures'][number]): string =>
  `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}${note ? `<small>${escapeHtml(note)}</small>` : ''}</dd></div>`;

const samplesOf = ({
  title = 'Samples, same prompt and seed',
  prompt,
  texts,
}: NonNullable<Report['samples']>): string => {
  const sample = ({ name, text }: (typeof texts)[number]): string =>
    `<blockquote><b>${escapeHtml(name)}</b><span class="prompt">${escapeHtml(prompt)}</span>${escapeHtml(text)}</blockquote>`;
  return `<h2>${escapeHtml(title)}</h2>\n<div class="samples">${texts.map(sample).join('')}</div>\n`;
};

const tableOf = ([head = [], ...rows]: NonNullable<Report['table']>): string => {
  const row = (cell: 'td' | 'th', cells: readonly string[]): string =>
    `<tr>${cells.map((text) => `<${cell}>${escapeHtml(text)}</${cell}>`).join('')}</tr>`;
  return `<h2>Runs, the lowest loss first</h2>\n<div class="wide"><table><thead>${row('th', head)}</thead><tbody>${rows.map((cells) => row('td', cells)).join('\n')}</tbody></table></div>\n`;
};

const smallOf = (charts: readonly SmallChart[]): string =>
  `<div class="small">${charts.map(({ title }, i) => `<div><h3>${escapeHtml(title)}</h3><div id="small-${i}"></div></div>`).join('')}</div>\n`;

/** Bars: how many examples have up to so many tokens. */
const barsOf = (all: NonNullable<Report['data']>['lengths']): string => {
  const lengths = all.slice(all.findIndex(({ examples }) => examples > 0));
  const [width, height, floor] = [480, 150, 118];
  const most = Math.max(...lengths.map(({ examples }) => examples));
  const step = width / lengths.length;
  // Labels that would touch each other are left out.
  const every = Math.ceil(lengths.length / 16);
  const bar = ({ upTo, examples }: (typeof lengths)[number], i: number): string => {
    const tall = (examples / most) * (floor - 18);
    const [x, middle] = [i * step + 1, (i + 0.5) * step];
    const label = i % every === 0 ? `<text x="${middle.toFixed(1)}" y="132" text-anchor="middle">${upTo}</text>` : '';
    const number =
      examples > 0 && step >= 28
        ? `<text x="${middle.toFixed(1)}" y="${(floor - tall - 4).toFixed(1)}" text-anchor="middle">${examples.toLocaleString('en')}</text>`
        : '';
    return `<rect x="${x.toFixed(1)}" y="${(floor - tall).toFixed(1)}" width="${Math.max(1, step - 2).toFixed(1)}" height="${tall.toFixed(1)}" rx="2"><title>${examples} with up to ${upTo}</title></rect>${number}${label}`;
  };
  return `<svg class="bars" viewBox="0 0 ${width} ${height}" role="img" aria-label="examples by their tokens">${lengths.map(bar).join('')}<text x="${width / 2}" y="147" text-anchor="middle">examples by their tokens, up to</text></svg>`;
};

const dataOf = ({ facts, lengths }: NonNullable<Report['data']>): string =>
  `<h2>Data</h2>\n<div class="facts"><dl>${facts.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`).join('')}</dl>${lengths.length > 0 ? barsOf(lengths) : ''}</div>\n`;

/** One HTML page that needs no network: figures, curves, data, samples. */
export const renderReport = (report: Report): string => {
  const { css, js } = chartAssets();
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(report.title)}</title>
<style>${css}${style}${report.examples ? exampleStyle : ''}</style>
</head>
<body>
<h1>${escapeHtml(report.title)}</h1>
<p class="soft">${escapeHtml(report.summary)}</p>
<dl class="figures" style="--columns: ${report.figures.length % 3 === 0 ? 3 : 4}">${report.figures.map(figure).join('')}</dl>
<h2>Loss</h2>
<div id="chart"></div>
${report.charts?.length ? smallOf(report.charts) : ''}${report.data ? dataOf(report.data) : ''}${report.table ? tableOf(report.table) : ''}${report.samples ? samplesOf(report.samples) : ''}${report.examples ? examplesOf(report.examples.shown, report.examples.note) : ''}<script>${js}</script>
<script>${chartScript(report)}</script>
</body>
</html>
`;
};
