import { type Curve, chartAssets, chartScript } from './chart.ts';
import { escapeHtml } from './html.ts';

/** The content of the report. */
export interface Report {
  readonly title: string;
  /** How the run was made, one line. */
  readonly summary: string;
  /** Figures in large type. */
  readonly figures: readonly { readonly name: string; readonly value: string; readonly note?: string }[];
  readonly curves: readonly Curve[];
  /** A line for each run; the first row names the columns. */
  readonly table?: readonly (readonly string[])[];
  /** The prompt that both models were given to continue. */
  readonly samples?: {
    readonly prompt: string;
    readonly texts: readonly { readonly name: string; readonly text: string }[];
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
.prompt { color: var(--soft); } .u-legend { font-size: .85rem; } .u-legend.u-inline.u-live th::after { content: ''; }`;

const figure = ({ name, value, note }: Report['figures'][number]): string =>
  `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}${note ? `<small>${escapeHtml(note)}</small>` : ''}</dd></div>`;

const samplesOf = ({ prompt, texts }: NonNullable<Report['samples']>): string => {
  const sample = ({ name, text }: (typeof texts)[number]): string =>
    `<blockquote><b>${escapeHtml(name)}</b><span class="prompt">${escapeHtml(prompt)}</span>${escapeHtml(text)}</blockquote>`;
  return `<h2>Samples, same prompt and seed</h2>\n<div class="samples">${texts.map(sample).join('')}</div>\n`;
};

const tableOf = ([head = [], ...rows]: NonNullable<Report['table']>): string => {
  const row = (cell: 'td' | 'th', cells: readonly string[]): string =>
    `<tr>${cells.map((text) => `<${cell}>${escapeHtml(text)}</${cell}>`).join('')}</tr>`;
  return `<h2>Runs, the lowest loss first</h2>\n<div class="wide"><table><thead>${row('th', head)}</thead><tbody>${rows.map((cells) => row('td', cells)).join('\n')}</tbody></table></div>\n`;
};

/** One HTML page that needs no network: figures, loss curves, samples. */
export const renderReport = (report: Report): string => {
  const { css, js } = chartAssets();
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(report.title)}</title>
<style>${css}${style}</style>
</head>
<body>
<h1>${escapeHtml(report.title)}</h1>
<p class="soft">${escapeHtml(report.summary)}</p>
<dl class="figures" style="--columns: ${report.figures.length % 3 === 0 ? 3 : 4}">${report.figures.map(figure).join('')}</dl>
<h2>Loss</h2>
<div id="chart"></div>
${report.table ? tableOf(report.table) : ''}${report.samples ? samplesOf(report.samples) : ''}<script>${js}</script>
<script>${chartScript(report.curves)}</script>
</body>
</html>
`;
};
