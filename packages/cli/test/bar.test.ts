import { fromArray } from '@peftjs/data';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { bar, barLine, counted } from '../src/bar.ts';
import { say } from '../src/terminal.ts';

/** A terminal of so many columns, or none, and what it was told. */
const terminal = (columns: number | null) => {
  const told: string[] = [];
  const err = { ...(columns !== null && { isTTY: true, columns }), write: (text: string) => told.push(text) };
  return { told, context: { err } };
};

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

describe('a bar', () => {
  const half = { done: 500, total: 1000, seconds: 20, unit: 'examples' };

  test('shows how far it is, the time left and the rate, and of a narrow terminal what fits', () => {
    expect(barLine('Measuring', half, 99)).toBe(
      `Measuring  ▕${'█'.repeat(11)}${' '.repeat(11)}▏  500/1,000 examples  20s left  25/s`,
    );
    expect(barLine('Measuring', half, 59)).toBe('Measuring  ▕████    ▏  500/1,000 examples  20s left  25/s');
    expect(barLine('Measuring', half, 45)).toBe('Measuring  500/1,000 examples  20s left  25/s');
    expect(barLine('Measuring', half, 30)).toBe('Measuring  500/1,000 examples');
    expect(barLine('Measuring', half, 5)).toBe('Measu');
    expect(barLine('Reading', { done: 3, seconds: 2, unit: 'examples' }, 99)).toBe('Reading  3 examples  1.5/s');
    for (let columns = 20; columns < 120; columns++)
      expect(barLine('Measuring', half, columns).length).toBeLessThanOrEqual(columns);
  });

  test('is not shown at once, nor more often than it is looked at, and is taken away', () => {
    const { told, context } = terminal(80);
    const line = bar(context, 'Compiling', { unit: 'programs', total: 10 });
    line.tell(1);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(500);
    line.tell(2);
    line.tell(3);
    vi.advanceTimersByTime(150);
    line.tell(4);
    line.end();
    line.end();
    expect(told).toHaveLength(3);
    expect(told[0]).toMatch(/^\rCompiling {2}▕.*▏ {2}2\/10 programs {2}2s left {2}4\/s\u001b\[K$/);
    expect(told[2]).toBe('\r\u001b[K');
  });

  test('says nothing where there is no terminal', () => {
    const { told, context } = terminal(null);
    const line = bar(context, 'Compiling', { unit: 'programs', total: 10 });
    vi.advanceTimersByTime(5000);
    line.tell(5);
    line.end();
    expect(told).toEqual([]);
  });

  test('counts the examples of batches, anew each time', async () => {
    const { told, context } = terminal(80);
    const batches = [4, 4, 2].map((rows) => ({ rows, columns: {}, shapes: {} }));
    const { stream, end } = counted(fromArray(batches), context, 'Measuring', { total: 10 });
    for (let times = 0; times < 2; times++) for await (const _ of stream.open()) vi.advanceTimersByTime(450);
    end();
    const counts = told.map((text) => /(\d+)\/10/.exec(text)?.[1]);
    expect(counts).toEqual(['4', '8', undefined, '4', '8', undefined]);
  });
});

test('lines of a terminal go on below where their text began, as far as there is room', () => {
  const said = (columns: number, text: string): string => {
    const { context, told } = terminal(columns);
    say(context.err, text);
    return told.join('');
  };
  expect(said(40, '-- GPU   the only adapter is one of software; use the CPU')).toBe(
    '-- GPU   the only adapter is one of\n         software; use the CPU',
  );
  expect(said(40, '  an option of a method: a list of numbers of layers')).toBe(
    '  an option of a method: a list of\n  numbers of layers',
  );
  expect(said(30, '-- GPU   the only adapter is one of software')).toBe(
    '-- GPU   the only adapter is\none of software',
  );
  expect(said(20, 'Run: a-name, 5 steps on a CPU')).toBe('Run: a-name, 5 steps\non a CPU');
});
