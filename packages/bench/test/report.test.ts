import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { machine } from '../src/machine.ts';
import { parseOptions } from '../src/options.ts';
import { barChart } from '../src/report/bar-chart.ts';
import { jsonLine } from '../src/report/json-line.ts';
import { memoryTable, processCells } from '../src/report/memory-table.ts';
import { profileRecord, profileTable } from '../src/report/profile-table.ts';
import { profileCells, readProfiles, saveProfiles } from '../src/report/profiles.ts';
import { saveResults } from '../src/report/results.ts';
import { scalingTable } from '../src/report/scaling.ts';
import { scalingChart } from '../src/report/scaling-chart.ts';
import { table } from '../src/report/table.ts';
import type { Row } from '../src/run/measure.ts';
import { row } from './rows.ts';

const rows = [
  row('ours-cpu', [7200, 7300]),
  row('torch', [3600, 3650], { agrees: false }),
  row('a<b', [], { failure: 'it ended with code 1:\n    TypeError: x is not a function\n    at f' }),
];

describe('reports', () => {
  test('a table compares with the first stack, marks what is wrong and says why there is no figure', () => {
    expect(table(rows)).toBe(
      [
        'stack     tokens/s  spread  x ours-cpu    peak  start  result',
        'ours-cpu     7,200   1.0 %        1.00  250 MB  1.5 s  agrees',
        'torch        3,600   1.0 %        0.50  250 MB  1.5 s  WRONG',
        'a<b              -       -           -       -      -  failed: TypeError: x is not a function',
      ].join('\n'),
    );
  });

  test('the time to the first step and energy are columns where a row has them', () => {
    const [head, ours, other] = table([
      row('ours-cpu', [7200], { firstMs: 2340, joules: 4.5 }),
      row('torch', [3600]),
    ]).split('\n');
    expect(head).toMatch(/start +first step +J per run +result$/);
    expect(ours).toMatch(/1\.5 s +2\.3 s +4\.50 +agrees$/);
    expect(other).toMatch(/1\.5 s +- +- +agrees$/);
  });

  const kernel = { count: 2, flops: 4e6, bytes: 8e6, flopsPerSecond: 0, bytesPerSecond: 0, share: 0 };
  const profiled = {
    limit: 4e9,
    profiles: [
      {
        ms: 3,
        kernels: [
          { ...kernel, name: 'MatMul(2x2)', op: 'matmul', ms: 1 },
          { ...kernel, name: 'Add(2)', op: 'add', ms: 2, flops: 0 },
        ],
      },
      {
        ms: 3,
        kernels: [
          { ...kernel, name: 'MatMul(2x2)', op: 'matmul', ms: 2 },
          { ...kernel, name: 'wait', op: 'wait', ms: 1, flops: 0 },
        ],
      },
    ],
  };

  test('a profile joins the kernels of all programs that ran, by op, kind and size, most time first', () => {
    const text = profileTable(profiled);
    expect(text.split('\n\n').map((part) => part.split('\n').length)).toEqual([4, 4, 4, 1]);
    expect(text.split('\n\n').slice(2).join('\n')).toBe(
      [
        'ms     share  times  GFLOP/s  of limit  GB/s  kernel',
        '3.00  50.0 %      4     2.67    66.7 %  5.33  matmul: MatMul(2x2)',
        '2.00  33.3 %      2     0.00         -  4.00  add: Add(2)',
        '1.00  16.7 %      2     0.00         -  8.00  wait',
        '6.00 ms in 8 kernels; limit: 4.0 GFLOP/s',
      ].join('\n'),
    );
  });

  test('profiles are kept by task and stack, and shown with their products beside the limit', async () => {
    const out = await mkdtemp(join(tmpdir(), 'peftjs-bench-'));
    try {
      const record = profileRecord('lora-small', 'ours-cpu', 'x', profiled);
      await saveProfiles(out, [
        { ...record, ms: 1 },
        { ...record, stack: 'ours-webgpu' },
      ]);
      await saveProfiles(out, [record]);
      expect((await readProfiles(out)).map(({ stack, ms }) => [stack, ms])).toEqual([
        ['ours-cpu', 6],
        ['ours-webgpu', 6],
      ]);
      expect(profileCells({ ...record, ms: 300 }).slice(1)).toEqual([
        ['matmul', 'MatMul(2x2)', '4', '3.0', '1.0 %', '3', '67 %'],
        ['', 'all others', '4', '3.0', '1.0 %', '-', '-'],
      ]);
    } finally {
      await rm(out, { recursive: true });
    }
  });

  test('a line of JSON names the rate by its unit', () => {
    expect(JSON.parse(jsonLine(rows[0]!))).toMatchObject({
      task: 'lora-small',
      stack: 'ours-cpu',
      tokensPerSecond: 7200,
      peakBytes: 250e6,
      losses: [],
      agrees: true,
    });
    expect(JSON.parse(jsonLine({ ...rows[0]!, unit: 'GFLOP/s' }))).toMatchObject({ gflops: 7200 });
  });

  test('a chart holds every stack, escaped, with bars as long as the rates', () => {
    const svg = barChart(rows);
    const widths = [...svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(widths[0]! / widths[1]!).toBeCloseTo(2, 1);
    expect(svg).toContain('a&lt;b');
    expect(svg).toContain('WRONG');
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });

  const points = [1, 2, 4].flatMap((size) => [
    row('ours-cpu', [1000], { task: `scaling-batch-${size}`, peakBytes: size * 1e8 }),
    row('ours-webgpu', [1000 / size], { task: `scaling-batch-${size}` }),
  ]);

  test('scaling: a stack of constant tokens/s is on a line through 0, another is not', () => {
    const [, cpu, gpu] = scalingTable(points).split('\n');
    expect(cpu).toMatch(
      /batch +ours-cpu +1: 128 {2}2: 256 {2}4: 512 +1: 100 {2}2: 200 {2}4: 400 +128 +-?0\.0 +1\.0000 +0 %/,
    );
    expect(gpu).not.toMatch(/ 0 %$/);
  });

  test('scaling: the figure has the measured panels, and nothing of the others', () => {
    const figure = scalingChart(points);
    expect([...figure.matchAll(/font-weight="600">([^<]*)/g)].map(([, title]) => title)).toEqual([
      'ms per step, by batch',
      'peak MB, by batch',
    ]);
    expect(figure.match(/<circle/g)).toHaveLength(12);
    expect(figure).not.toMatch(/NaN|undefined|Infinity/);
  });

  test('memory: planned beside held and the growth of the process', () => {
    const measured = row('ours-cpu', [800], {
      task: 'memory-attention',
      peakBytes: 700e6,
      memory: { idle: 100e6, planned: 505e6, held: 500e6 },
    });
    expect(memoryTable([measured]).split('\n')[1]).toMatch(
      /^\+ attention without scores +ours-cpu +800 +505\.0 MB +500\.0 MB +600\.0 MB +101\.0 % +agrees$/,
    );
  });

  test('memory: the planned peak of a step beside the process, within a tenth and 60 MB or not', () => {
    const of = (grew: number): Row =>
      row('ours-cpu', [1], { peakBytes: grew + 100e6, memory: { idle: 100e6, planned: 200e6 } });
    expect(processCells([of(280e6), of(281e6), row('torch', [1])]).slice(1)).toEqual([
      ['lora-small', 'ours-cpu', '200.0 MB', '280.0 MB', '80.0 MB', 'yes'],
      ['lora-small', 'ours-cpu', '200.0 MB', '281.0 MB', '81.0 MB', 'no'],
    ]);
  });

  test('memory: how the process grows with the plan', () => {
    const measured = [100e6, 300e6, 500e6].map((planned, i) =>
      row('ours-cpu', [800], {
        task: ['memory-nf4', 'memory-checkpoint', 'memory-baseline'][i]!,
        peakBytes: 1.02 * planned + 250e6,
        memory: { idle: 100e6, planned, held: planned },
      }),
    );
    expect(memoryTable(measured).split('\n').at(-1)).toBe('ours-cpu: process = 1.020 x planned + 150 MB, r2 1.0000');
  });

  test('results tell machine, settings and date', async () => {
    const out = await mkdtemp(join(tmpdir(), 'peftjs-bench-'));
    try {
      const written = await saveResults(rows, machine(), parseOptions(['--out', join(out, 'new'), '--rounds', '3']));
      expect(await readdir(join(out, 'new'))).toHaveLength(written.length);
      const results = JSON.parse(await readFile(written[0]!, 'utf8'));
      expect(results).toMatchObject({ settings: { rounds: 3 }, machine: { node: process.versions.node } });
      expect(Date.parse(results.date)).toBeGreaterThan(0);
      expect(results.rows).toHaveLength(3);
    } finally {
      await rm(out, { recursive: true });
    }
  });
});
