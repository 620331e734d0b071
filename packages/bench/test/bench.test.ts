import { describe, expect, test } from 'vitest';
import { bench } from './run.ts';

const lines = (text: string): unknown[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('pnpm bench', () => {
  test('lists tasks and stacks', async () => {
    const [tasks, stacks] = await Promise.all([bench('--task', 'list'), bench('--stack', 'list')]);
    expect(tasks.stdout).toMatch(/^lora-small +LoRA step/m);
    expect(tasks.stdout).toMatch(/^matmul-512x256x4096 +the head/m);
    expect(stacks.stdout).toMatch(/^ours-cpu +peftjs/m);
    expect(tasks.code + stacks.code).toBe(0);
  });

  test.each([
    [['--task', 'lora-smal'], /no 'lora-smal'.*lora-small/],
    [
      ['--stack', 'ours-cpu,cuda'],
      /no 'cuda'.*ours-cpu, ours-cpu-worker, ours-webgpu, ours-cpu-int8, ours-cpu-int8-lean, torch/,
    ],
    [['--rounds', '0'], /whole number above 0/],
  ])('refuses %j, with what there is', async (args, message) => {
    const { code, stderr } = await bench(...args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  test('measures, one line of JSON per task and stack, and names the peers that are not installed', async () => {
    const { code, stdout, stderr } = await bench(
      ...['--task', 'smoke', '--stack', 'ours-cpu,torch,jax-wasm', '--rounds', '2', '--seconds', '0.05', '--json'],
    );
    expect(stderr).toMatch(/left out: torch \(run pnpm bench --setup\)/);
    expect(stderr).toMatch(/left out: jax-wasm/);
    const rows = lines(stdout) as {
      readonly task: string;
      readonly losses: number[];
      readonly rounds: number[];
      readonly peakBytes: number;
    }[];
    const names = ['matmul', 'lora', 'qlora', 'variant', 'full', 'generate', 'q8'];
    expect(rows.map((r) => r.task)).toEqual(names.map((name) => `smoke-${name}`));
    for (const row of rows) {
      expect(row).toMatchObject({ stack: 'ours-cpu', agrees: true });
      expect(row.rounds).toHaveLength(2);
      expect(row.peakBytes).toBeGreaterThan(30e6);
    }
    const [, lora, qlora, variant, full, generate, q8] = rows;
    expect(Math.abs(qlora!.losses[0]! - lora!.losses[0]!)).toBeGreaterThan(1e-4);
    // The same weights and tokens, so the same first loss; both learn.
    expect(lora!.losses[0]).toBeCloseTo(full!.losses[0]!, 4);
    for (const { losses } of [lora!, qlora!, variant!, full!]) expect(losses[4]!).toBeLessThan(losses[0]! - 0.05);
    expect(generate!.losses).toHaveLength(12);
    expect(q8!.losses).toHaveLength(12);
    expect(code).toBe(0);
  }, 300_000);
});
