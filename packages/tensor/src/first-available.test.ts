import { afterEach, expect, test, vi } from 'vitest';
import { PeftError } from './error.ts';
import { firstAvailable } from './first-available.ts';
import { reference } from './reference/executor.ts';

const absent = (): never => {
  throw new PeftError('device-unavailable', 'no such chip');
};

afterEach(() => vi.unstubAllEnvs());

test('takes the first that opens', async () => {
  expect((await firstAvailable({ webgpu: absent, reference })).name).toBe('reference');
});

test('a name, given or in PEFTJS_DEVICE, overrides the order', async () => {
  const opened: string[] = [];
  const open = (name: string) => () => {
    opened.push(name);
    return reference();
  };
  const candidates = { a: open('a'), b: open('b') };
  await firstAvailable(candidates, { device: 'b' });
  vi.stubEnv('PEFTJS_DEVICE', 'b');
  await firstAvailable(candidates);
  expect(opened).toEqual(['b', 'b']);
});

test('an unknown name, a device that is not there, and a failure each say so', async () => {
  await expect(firstAvailable({ reference }, { device: 'toString' })).rejects.toThrow(
    'unknown device "toString"; choose one of reference',
  );
  await expect(firstAvailable({ a: absent, b: absent })).rejects.toThrow(
    'no device is available; a: no such chip; b: no such chip',
  );
  const broken = (): never => {
    throw new PeftError('out-of-memory', 'full');
  };
  await expect(firstAvailable({ broken, reference })).rejects.toThrow('full');
});
