import { checkOptions, mustBe, PeftError } from '@peftjs/tensor';
import { type Ask, asker, type Fields, sendingQueue } from './ask.ts';
import { type Logger, measuredScalars, type Scalars, stepScalars } from './logger.ts';

/** The place of a run's numbers at Weights & Biases. */
export interface WandbOptions {
  /** Name of the project, which is made where there is none. Default: `WANDB_PROJECT` of the environment, else `peftjs`. */
  readonly project?: string;
  /** The user or team that the project belongs to. Default: `WANDB_ENTITY` of the environment, else the key's own. */
  readonly entity?: string;
  /** Name that is shown for the run. Default: the server's. */
  readonly run?: string;
  /** Options that are shown beside the run. */
  readonly config?: Fields;
  /** The key of an account. Default: `WANDB_API_KEY` of the environment. */
  readonly key?: string;
  /** Address of the server. Default: `WANDB_BASE_URL` of the environment, else `https://api.wandb.ai`. */
  readonly url?: string;
}

/** Rows of one message at most, and the milliseconds after which what waits is sent: a run that is silent for minutes counts as crashed there. */
const [most, patience] = [500, 15_000];

/** The start of a run as a question of the server's GraphQL. */
const upsert = `mutation UpsertBucket($name: String, $project: String, $entity: String, $displayName: String, $config: JSONString) {
  upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, displayName: $displayName, config: $config}) {
    bucket { name project { name entity { name } } }
  }
}`;

interface Bucket {
  readonly name: string;
  readonly project: { readonly name: string; readonly entity: { readonly name: string } };
}

/** Eight letters and digits, by which the server knows a run. */
const runName = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => (byte % 36).toString(36)).join('');

const bucketOf = async (ask: Ask, variables: Fields): Promise<Bucket> => {
  const answer = await ask('POST', 'graphql', { query: upsert, variables, operationName: 'UpsertBucket' });
  const bucket = (answer['data'] as { readonly upsertBucket?: { readonly bucket?: Bucket } } | null)?.upsertBucket
    ?.bucket;
  if (bucket) return bucket;
  const why = JSON.stringify(answer['errors'] ?? answer).slice(0, 300);
  throw new PeftError('read-failed', `wandb: the server makes no run: ${why}`);
};

/**
 * Sends a run's numbers to Weights & Biases: a run is made by the server's GraphQL, and rows of its history follow as a stream of lines, as
 * wandb 0.31 sends them (https://github.com/wandb/wandb, core/internal/filestream). Throws `bad-option` where there is no key, `read-failed` where the server
 * refuses at the start. Later it is only said on stderr that numbers wait: a log must not end a run.
 */
export const wandb = async (options: WandbOptions = {}): Promise<Logger> => {
  checkOptions(
    'wandb',
    {
      project: mustBe.text,
      entity: mustBe.text,
      run: mustBe.text,
      config: mustBe.object,
      key: mustBe.text,
      url: mustBe.text,
    },
    options,
  );
  // A page has no `process`.
  const env = typeof process === 'object' ? process.env : {};
  const { key = env['WANDB_API_KEY'], url = env['WANDB_BASE_URL'] ?? 'https://api.wandb.ai', config = {} } = options;
  if (!key) throw new PeftError('bad-option', 'wandb: key is missing, and WANDB_API_KEY is not set');
  const ask = asker('wandb', url, `Basic ${btoa(`api:${key}`)}`);
  const { name, project } = await bucketOf(ask, {
    name: runName(),
    project: options.project ?? env['WANDB_PROJECT'] ?? 'peftjs',
    entity: options.entity ?? env['WANDB_ENTITY'] ?? null,
    displayName: options.run ?? null,
    config: JSON.stringify(Object.fromEntries(Object.entries(config).map(([option, value]) => [option, { value }]))),
  });
  const stream = ['files', project.entity.name, project.name, name, 'file_stream'].map(encodeURIComponent).join('/');
  const begun = Date.now();
  let [sent, summary, lastSend] = [0, {} as Fields, begun];
  const queue = sendingQueue<Fields>(most, async (rows) => {
    summary = Object.assign({}, summary, ...rows) as Fields;
    const files = {
      'wandb-history.jsonl': { offset: sent, content: rows.map((row) => JSON.stringify(row)) },
      'wandb-summary.json': { offset: 0, content: [JSON.stringify(summary)] },
    };
    await ask('POST', stream, { files });
    sent += rows.length;
  });
  // A step and what is measured after it are one row there.
  let row: Fields = {};
  const add = async (step: number, scalars: Scalars): Promise<void> => {
    if (row['_step'] !== undefined && row['_step'] !== step) queue.add(row);
    const now = Date.now();
    row = {
      ...(row['_step'] === step && row),
      ...scalars,
      _step: step,
      _timestamp: now / 1000,
      _runtime: (now - begun) / 1000,
    };
    if (queue.length < most && now - lastSend < patience) return;
    lastSend = now;
    await queue.send();
  };
  return {
    step: (progress) => add(progress.step, stepScalars(progress)),
    measure: (measurement) => add(measurement.step, measuredScalars(measurement)),
    end: async (failed) => {
      if (row['_step'] !== undefined) queue.add(row);
      await queue.send();
      await ask('POST', stream, { complete: true, exitcode: failed ? 1 : 0 }).catch((error: Error) =>
        console.error(error.message),
      );
    },
  };
};
