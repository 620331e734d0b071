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

/** One value over the steps of a run, on a small chart of its own. */
export interface SmallChart {
  readonly title: string;
  /** The unit beside the axis. */
  readonly unit: string;
  readonly points: readonly (readonly [step: number, value: number])[];
  /** The least value of the axis. Default: the least of the points. */
  readonly from?: number;
}

/** More points than a chart has room for say nothing more. */
const mostPoints = 800;

/** Points thinned out to as many as are shown, each the mean of its neighbours, at the step of the last of them. */
export const thinned = (points: SmallChart['points'], most: number = mostPoints): SmallChart['points'] => {
  const size = Math.ceil(points.length / most);
  if (size <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const own = points.slice(i * size, (i + 1) * size);
    return [own.at(-1)![0], own.reduce((sum, [, value]) => sum + value, 0) / own.length] as const;
  });
};

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

/** The script that draws the loss curves into `#chart` and small charts into `#small-0`, …, in the colours of the page. */
export const chartScript = ({
  curves,
  charts: small = [],
  unit: per = 'token',
}: {
  readonly curves: readonly Curve[];
  readonly charts?: readonly SmallChart[];
  readonly unit?: string;
}): string => {
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
  const charts = [
    { box: 'chart', unit: `loss, nats per ${per}`, height: 340, series, columns: chartColumns(curves) },
    ...small.map(({ title, unit, points, from }, i) => {
      const shown = thinned(points);
      return {
        box: `small-${i}`,
        unit,
        height: 170,
        legend: false,
        ...(from !== undefined && { from }),
        series: [{ label: title, stroke: colours[0]!, width: 1.75, points: { show: shown.length < 2 } }],
        columns: [shown.map(([step]) => step), shown.map(([, value]) => value)],
      };
    }),
  ];
  return `
const charts = ${scriptJson(charts)};
const dark = matchMedia('(prefers-color-scheme: dark)');
// Lines are lighter on a dark page; thin ones fade, and are still seen on either.
const mixed = (colour, share, other) => 'color-mix(in srgb, ' + colour + ' ' + share + '%, ' + other + ')';
const lineColour = (stroke, thin) => {
  if (!dark.matches) return thin ? mixed(stroke, 55, '#ffffff') : stroke;
  return mixed(stroke, thin ? 60 : 70, thin ? '#9aa6b5' : '#ffffff');
};
const format = (u, v) => v == null ? '' : Math.abs(v) >= 1000 ? Math.round(v).toLocaleString('en') : Math.abs(v) >= 0.1 ? v.toFixed(3) : v.toPrecision(3);
const short = (v) => v === 0 ? '0' : Math.abs(v) >= 1e4 ? v / 1000 + 'k' : Math.abs(v) < 1e-3 ? v.toExponential().replace('e-', 'e−') : String(Number(v.toPrecision(6)));
const redraws = charts.map(({ box: id, unit, height, series, columns, legend, from }) => {
  const box = document.getElementById(id);
  // A canvas takes no functions of CSS, so what one gives is read from an element.
  const plain = (colour) => { box.style.color = colour; const found = getComputedStyle(box).color; box.style.color = ''; return found; };
  const size = () => ({ width: box.clientWidth, height });
  let plot;
  const draw = () => {
    plot?.destroy();
    const ink = getComputedStyle(document.body).color;
    const axis = { stroke: ink, grid: { stroke: '#8885', width: 1 }, ticks: { stroke: '#8885', width: 1 } };
    plot = new uPlot({
      ...size(),
      legend: { show: legend !== false },
      scales: { x: { time: false }, ...(from === undefined ? {} : { y: { range: (u, least, most) => uPlot.rangeNum(from, most, 0.1, true) } }) },
      axes: [
        { ...axis, ...(legend === false ? {} : { label: 'optimiser step', labelSize: 22 }) },
        { ...axis, label: unit, labelSize: 22, size: 58, values: (u, marks) => marks.map((v) => v == null ? '' : short(v)) },
      ],
      series: [
        { label: 'step', value: (u, v) => v == null ? '' : String(v) },
        ...series.map(({ thin, ...s }) => ({ ...s, value: format, stroke: plain(lineColour(s.stroke, thin)) })),
      ],
    }, columns, box);
  };
  draw();
  addEventListener('resize', () => plot.setSize(size()));
  return draw;
});
dark.addEventListener('change', () => redraws.forEach((draw) => draw()));`;
};
