import { fromNode } from '@peftjs/io';
import { scalarEvent, versionEvent } from './event-file.ts';
import { inNode, type Logger, measuredScalars, type Scalars, stepScalars } from './logger.ts';

/** Seconds since 1970. */
const now = (): number => Date.now() / 1000;

/**
 * Writes a run's numbers to a file of events in a folder, which `tensorboard --logdir` shows. A run that goes on writes another file beside the first, which TensorBoard
 * takes for one run. For Node.
 */
export const tensorBoard = async (folder: string): Promise<Logger> => {
  const { appendFile, mkdir, writeFile } = fromNode('node:fs/promises', inNode('tensorBoard'));
  const [{ join }, { hostname }] = [fromNode('node:path'), fromNode('node:os')];
  await mkdir(folder, { recursive: true });
  const begun = now();
  const file = join(folder, `events.out.tfevents.${begun.toFixed(3)}.${hostname()}.${process.pid}`);
  await writeFile(file, versionEvent(begun));
  const add = (step: number, scalars: Scalars): Promise<void> => appendFile(file, scalarEvent(now(), step, scalars));
  return {
    step: (progress) => add(progress.step, stepScalars(progress)),
    measure: (measurement) => add(measurement.step, measuredScalars(measurement)),
  };
};
