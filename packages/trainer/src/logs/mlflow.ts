import { checkOptions, mustBe, PeftError } from '@peftjs/tensor';
import { type Ask, asker, sendingQueue } from './ask.ts';
import { type Logger, measuredScalars, type Scalars, stepScalars } from './logger.ts';

/** The server of a run's numbers. */
export interface MlflowOptions {
  /** Its address: `http://localhost:5000`. Default: `MLFLOW_TRACKING_URI` of the environment. */
  readonly url?: string;
  /** Name of the experiment, which is made where there is none. Default `peftjs`. */
  readonly experiment?: string;
  /** Name of the run. Default: the server's. */
  readonly run?: string;
  /** Options that are shown beside the run. */
  readonly params?: Readonly<Record<string, string | number | boolean>>;
  /** A token that the server wants. Default: `MLFLOW_TRACKING_TOKEN` of the environment, if it is set. */
  readonly token?: string;
}

/** Numbers that wait until they are sent, and of one message, at most: the server takes 1,000. */
const [waiting, most] = [200, 1000];

interface Metric {
  readonly key: string;
  readonly value: number;
  readonly timestamp: number;
  readonly step: number;
}

const experimentOf = async (ask: Ask, name: string): Promise<string> => {
  try {
    const found = await ask('GET', `experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`);
    return (found['experiment'] as { readonly experiment_id: string }).experiment_id;
  } catch (error) {
    if (!(error as Error).message.includes('RESOURCE_DOES_NOT_EXIST')) throw error;
    return (await ask('POST', 'experiments/create', { name }))['experiment_id'] as string;
  }
};

/**
 * Sends a run's numbers to an MLflow server, by its REST interface, version 2.0. https://mlflow.org/docs/latest/rest-api.html. Throws `bad-option` where there is no
 * address, `read-failed` where the server refuses at the start. Later it is only said on stderr that numbers wait: a log must not end a run.
 */
export const mlflow = async (options: MlflowOptions = {}): Promise<Logger> => {
  checkOptions(
    'mlflow',
    { url: mustBe.text, experiment: mustBe.text, run: mustBe.text, params: mustBe.object, token: mustBe.text },
    options,
  );
  // A page has no `process`.
  const env = typeof process === 'object' ? process.env : {};
  const { url = env['MLFLOW_TRACKING_URI'], experiment = 'peftjs', run, params = {} } = options;
  if (!url) throw new PeftError('bad-option', 'mlflow: url is missing, and MLFLOW_TRACKING_URI is not set');
  const token = options.token ?? env['MLFLOW_TRACKING_TOKEN'];
  const ask = asker('mlflow', `${url.replace(/\/+$/, '')}/api/2.0/mlflow`, token && `Bearer ${token}`);
  const made = await ask('POST', 'runs/create', {
    experiment_id: await experimentOf(ask, experiment),
    start_time: Date.now(),
    ...(run && { run_name: run }),
  });
  const { run_id } = (made['run'] as { readonly info: { readonly run_id: string } }).info;
  const shown = Object.entries(params).map(([key, value]) => ({ key, value: String(value) }));
  if (shown.length > 0) await ask('POST', 'runs/log-batch', { run_id, params: shown });
  const queue = sendingQueue<Metric>(most, (metrics) => ask('POST', 'runs/log-batch', { run_id, metrics }));
  const add = async (step: number, scalars: Scalars): Promise<void> => {
    const timestamp = Date.now();
    queue.add(...Object.entries(scalars).map(([key, value]) => ({ key, value, timestamp, step })));
    if (queue.length >= waiting) await queue.send();
  };
  return {
    step: (progress) => add(progress.step, stepScalars(progress)),
    measure: async (measurement) => {
      await add(measurement.step, measuredScalars(measurement));
      await queue.send();
    },
    end: async (failed) => {
      await queue.send();
      const status = failed ? 'FAILED' : 'FINISHED';
      await ask('POST', 'runs/update', { run_id, status, end_time: Date.now() }).catch((error: Error) =>
        console.error(error.message),
      );
    },
  };
};
