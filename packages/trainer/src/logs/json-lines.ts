import { fromNode } from '@peftjs/io';
import { inNode, type Logger, measuredScalars, type Scalars, stepScalars } from './logger.ts';

/**
 * Adds a run's numbers to a file, an object of JSON in each line: `{"step":1,"time":"2026-11-30T00:00:00.000Z","train/loss":2.5}`. A run that goes on adds to the same file; steps
 * that it takes again are there twice. For Node.
 */
export const jsonLog = async (file: string): Promise<Logger> => {
  const { appendFile, mkdir } = fromNode('node:fs/promises', inNode('jsonLog'));
  const { dirname } = fromNode('node:path');
  await mkdir(dirname(file), { recursive: true });
  const add = (step: number, scalars: Scalars): Promise<void> =>
    appendFile(file, `${JSON.stringify({ step, time: new Date().toISOString(), ...scalars })}\n`);
  return {
    step: (progress) => add(progress.step, stepScalars(progress)),
    measure: (measurement) => add(measurement.step, measuredScalars(measurement)),
  };
};
