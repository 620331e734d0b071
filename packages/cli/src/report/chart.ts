import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { TrainResult } from '@peftjs/trainer';
import { scriptJson } from './html.ts';

/** One run on the chart. */
export interface Curve {
  readonly label: string;
  readonly result: Pick<TrainResult, 'losses' | 'heldOut'>;
  /** Leaves out the training loss, which hides the others where there are many runs. Default false. */
  readonly heldOutOnly?: boolean;
}

const asset = (name: string): string =>
  readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${name}`), 'utf8');

/** Style and script of the chart library, to be put inside the page so that it opens without a network. */
export const chartAssets = (): { readonly css: string; readonly js: string } => ({
  css: asset('uPlot.min.css'),
  js: asset('uPlot.iife.min.js'),
});

/** Told apart by the colour-blind too, then by dashes. Okabe & Ito, 2008. https://jfly.uni-koeln.de/color/ */
const colours = ['#3f6bdd', '#d9822b', '#009e73', '#cc79a7', '#8a6d00', '#56b4e9', '#d55e00', '#7d7d7d'];
const dashes = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

/** Columns for uPlot: steps, then the training loss and the held-out loss of each run, null where a run has no value at a step. */
const chartColumns = (curves: readonly Curve[]): (number | null)[][] => {
  const steps = [
    ...new Set(curves.flatMap(({ result }) => [...result.losses, ...result.heldOut].map((p) => p.step))),
  ].sort((a, b) => a - b);
  const column = (points: readonly { readonly step: number; readonly loss: number }[]): (number | null)[] => {
    const byStep = new Map(points.map((p) => [p.step, p.loss]));
    return steps.map((s) => byStep.get(s) ?? null);
  };
  return [
    steps,
    ...curves.flatMap(({ result, heldOutOnly }) => [
      ...(heldOutOnly ? [] : [column(result.losses)]),
      column(result.heldOut),
    ]),
  ];
};

/** The script that draws the loss curves into `#chart`, in the colours of the page. */
export const chartScript = (curves: readonly Curve[]): string => {
  const series = curves.flatMap(({ label, heldOutOnly }, i) => {
    const stroke = colours[i % colours.length]!;
    return [
      ...(heldOutOnly ? [] : [{ label: `${label}, training`, stroke, thin: true, width: 1.25, spanGaps: true }]),
      {
        label: heldOutOnly ? label : `${label}, held out`,
        stroke,
        width: 2.5,
        dash: dashes[Math.floor(i / colours.length) % dashes.length],
        spanGaps: true,
        points: { show: true, size: 7 },
      },
    ];
  });
  return `
const columns = ${scriptJson(chartColumns(curves))};
const series = ${scriptJson(series)};
const box = document.getElementById('chart');
const dark = matchMedia('(prefers-color-scheme: dark)');
// Lines are lighter on a dark page; thin ones fade, and are still seen on either.
const mixed = (colour, share, other) => 'color-mix(in srgb, ' + colour + ' ' + share + '%, ' + other + ')';
const lineColour = (stroke, thin) => {
  if (!dark.matches) return thin ? mixed(stroke, 55, '#ffffff') : stroke;
  return mixed(stroke, thin ? 60 : 70, thin ? '#9aa6b5' : '#ffffff');
};
// A canvas takes no functions of CSS, so what one gives is read from an element.
const plain = (colour) => { box.style.color = colour; const found = getComputedStyle(box).color; box.style.color = ''; return found; };
const format = (u, v) => v == null ? '' : v.toFixed(3);
const size = () => ({ width: box.clientWidth, height: 340 });
let plot;
const draw = () => {
  plot?.destroy();
  const ink = getComputedStyle(document.body).color;
  const axis = { stroke: ink, grid: { stroke: '#8885', width: 1 }, ticks: { stroke: '#8885', width: 1 } };
  plot = new uPlot({
    ...size(),
    scales: { x: { time: false } },
    axes: [{ ...axis, label: 'optimiser step', labelSize: 22 }, { ...axis, label: 'loss, nats per token', labelSize: 22 }],
    series: [
      { label: 'step', value: (u, v) => v == null ? '' : String(v) },
      ...series.map(({ thin, ...s }) => ({ ...s, value: format, stroke: plain(lineColour(s.stroke, thin)) })),
    ],
  }, columns, box);
};
draw();
dark.addEventListener('change', draw);
addEventListener('resize', () => plot.setSize(size()));`;
};
