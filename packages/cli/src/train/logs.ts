import { basename, join } from 'node:path';
import { type Logger, mlflow, tensorBoard, wandb } from '@peftjs/trainer';
import type { LogName, RunConfig } from '../config/schema.ts';

/** Options of a run as a list of runs shows them, `optimizer.rate: 0.001`; lists and defaults that are nothing are left out. */
const shownOf = (value: object, path = ''): Record<string, string | number | boolean> =>
  Object.assign(
    {},
    ...Object.entries(value).map(([name, own]: [string, unknown]) => {
      if (typeof own === 'object' && own !== null && !Array.isArray(own)) return shownOf(own, `${path}${name}.`);
      return ['string', 'number', 'boolean'].includes(typeof own) ? { [`${path}${name}`]: own } : {};
    }),
  ) as Record<string, string | number | boolean>;

const opened: Readonly<Record<LogName, (config: RunConfig, dir: string) => Promise<Logger>>> = {
  tensorboard: (_, dir) => tensorBoard(join(dir, 'tensorboard')),
  mlflow: (config, dir) => mlflow({ run: basename(dir), params: shownOf(config) }),
  wandb: (config, dir) => wandb({ run: basename(dir), config: shownOf(config) }),
};

/** Opens the places that a run's numbers go to beside its folder. Throws what they throw: a key that is missing, a server that is silent. */
export const logsOf = (config: RunConfig, dir: string): Promise<Logger[]> =>
  Promise.all(config.logs.map((name) => opened[name](config, dir)));
