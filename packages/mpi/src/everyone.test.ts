import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { checkVersions, type Process, thisProcess, threadsOf } from './everyone.ts';

const own = thisProcess('Open MPI v5.0.11');

test('versions that differ are named, of all processes', () => {
  const { versions } = own;
  expect(versions).toMatchObject({
    node: process.version,
    MPI: 'Open MPI v5.0.11',
    peftjs: expect.stringMatching(/^\d/),
  });
  checkVersions([own, own]);
  const others: Process[] = [
    { ...own, versions: { ...versions, node: 'v1.0.0' } },
    { ...own, versions: { ...versions, peftjs: '7.0.0', MPI: 'MPICH Version: 5.0.2' } },
  ];
  expect(() => checkVersions([own, ...others])).toThrow(
    `process 1 has node v1.0.0, process 0 ${process.version}; process 2 has peftjs 7.0.0, process 0 ${versions['peftjs']}; process 2 has MPI MPICH Version: 5.0.2`,
  );
});

test('processors are divided among the processes that have the same ones', () => {
  const cores = availableParallelism();
  const elsewhere = { ...own, host: `${own.host}-2` };
  expect(threadsOf(own, [own])).toBe(cores);
  expect(threadsOf(own, [own, own, elsewhere, elsewhere])).toBe(Math.max(1, Math.floor(cores / 2)));
  // A launcher has given each its own.
  expect(threadsOf(own, [own, { ...own, processors: '777' }])).toBe(cores);
  expect(threadsOf(own, Array(1000).fill(own))).toBe(1);
});
