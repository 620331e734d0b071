import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { energyMeter } from '../src/run/energy.ts';
import { measure } from '../src/run/measure.ts';
import { mark } from '../src/run/protocol.ts';
import type { Command } from '../src/run/session.ts';
import { smoke } from '../src/tasks/smoke.ts';

/** A child in plain JavaScript: `body` answers each command `[times, seconds]` by `say`. */
const child = (body: string, env: Record<string, string> = {}): Command => ({
  file: process.execPath,
  args: [
    '-e',
    `const say = (m) => console.log('${mark}' + JSON.stringify(m));
     say({ type: 'ready', device: 'none', versions: { fake: '1' } });
     require('node:readline').createInterface({ input: process.stdin }).on('line', (text) => {
       const [times, seconds] = text.split(' ').slice(1).map(Number);
       ${body}
     });`,
  ],
  env,
});

const steady = (ms: number, loss: number): string =>
  `console.log('a library speaks'); say({ type: 'done', ms: [${ms}], values: [[${loss}], [${loss}]], peakBytes: 5 });`;

const prepared = { task: smoke[1]!, dir: '', work: 24 };
const settings = {
  rounds: 3,
  secondsPerRound: 0.01,
  budgetSeconds: 1,
  limitSeconds: 20,
  warmUps: 5,
  warmUpSeconds: 1,
  leastWarmUps: 2,
  progress: () => {},
};

describe('measure', () => {
  test('takes medians over rounds in which the stacks take turns', async () => {
    const [fast, slow] = await measure(
      prepared,
      [
        { name: 'fast', command: child(steady(2, 1.5)) },
        { name: 'slow', command: child(steady(8, 1.5001)) },
      ],
      settings,
    );
    expect(fast).toMatchObject({ rate: 12_000, rounds: [12_000, 12_000, 12_000], agrees: true, peakBytes: 5 });
    expect(fast!.firstMs! - fast!.startMs!).toBe(2);
    expect(fast!.joules).toBeUndefined();
    expect(slow).toMatchObject({ rate: 3000, spread: 0, agrees: true, versions: { fake: '1' } });
  });

  test('a slow stack takes fewer turns; one that is slow in its warm-up takes none but that', async () => {
    // The milliseconds that it tells of count, so nothing has to wait.
    const [fast, slow, slowest] = await measure(
      prepared,
      [20, 400, 1200].map((ms, i) => ({ name: `s${i}`, command: child(steady(ms, 1.5)) })),
      { ...settings, rounds: 5 },
    );
    expect(fast!.rounds).toEqual([1200, 1200, 1200, 1200, 1200]);
    expect(slow!.rounds).toEqual([60, 60, 60]);
    expect(slowest!.rounds).toEqual([20]);
    expect([fast, slow, slowest].map((row) => row!.agrees)).toEqual([true, true, true]);
  });

  test('joules of turns go to the stack whose turn it was, over its runs', async () => {
    let joules = 0;
    const [row] = await measure(prepared, [{ name: 'one', command: child(steady(2, 1.5)) }], {
      ...settings,
      energy: () => (joules += 6),
    });
    expect(row!.joules).toBe(6);
  });

  test('the meter of power capping adds the packages up, across a counter that wraps, and is null where there is none', async () => {
    const root = await mkdtemp(join(tmpdir(), 'peftjs-energy-'));
    onTestFinished(() => rm(root, { recursive: true }));
    expect(energyMeter(root)).toBeNull();
    const tell = async (name: string, uj: number): Promise<void> => {
      await mkdir(join(root, name), { recursive: true });
      await writeFile(join(root, name, 'energy_uj'), `${uj}\n`);
      await writeFile(join(root, name, 'max_energy_range_uj'), '10000000\n');
    };
    for (const name of ['intel-rapl:0', 'intel-rapl:1', 'intel-rapl:0:0']) await tell(name, 9e6);
    const meter = energyMeter(root)!;
    expect(meter()).toBe(0);
    await tell('intel-rapl:0', 9.5e6);
    await tell('intel-rapl:0:0', 9.9e6);
    expect(meter()).toBeCloseTo(0.5);
    await tell('intel-rapl:1', 1e6);
    expect(meter()).toBeCloseTo(2.5);
  });

  test('marks the one that computes something else', async () => {
    const rows = await measure(
      prepared,
      [1.5, 1.5, 1.6].map((loss, i) => ({ name: `s${i}`, command: child(steady(1, loss)) })),
      settings,
    );
    expect(rows.map((r) => r.agrees)).toEqual([true, true, false]);
  });

  test('goes on without a stack that crashes, is not there or says nothing', async () => {
    const rows = await measure(
      prepared,
      [
        { name: 'crash', command: child('console.error("out of memory"); process.exit(3);') },
        { name: 'absent', command: { file: '/nonexistent', args: [], env: {} } },
        { name: 'silent', command: child('') },
        { name: 'good', command: child(steady(1, 2)) },
      ],
      { ...settings, limitSeconds: 3 },
    );
    expect(rows.map((r) => r.failure ?? '')).toEqual([
      expect.stringMatching(/code 3[^]*out of memory/),
      expect.stringMatching(/ENOENT/),
      expect.stringMatching(/longer than 3 s/),
      '',
    ]);
    expect(rows[3]).toMatchObject({ rate: 24_000, agrees: true });
  });
});
