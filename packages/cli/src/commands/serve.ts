import type { Server } from 'node:http';
import { serve } from '@hono/node-server';
import { PeftError } from '@peftjs/tensor';
import { loadGenerationConfig } from '@peftjs/transformer';
import { type Bar, bar } from '../bar.ts';
import type { Call } from '../commands.ts';
import { numberIn } from '../sampling.ts';
import { makeApp } from '../serve/app.ts';
import { makeEngine } from '../serve/engine.ts';
import { makeMetrics } from '../serve/metrics.ts';
import { baseOptions, deviceOf } from '../session.ts';
import { status } from '../status.ts';
import { openTuned } from '../tuned.ts';

const isLoopback = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|::1)$/i.test(host);

/** Seconds that requests under way get, once the end was asked for. */
const patience = 30;

/** Resolves when the end is asked for: by Ctrl-C, by the system, or by the caller. */
const asked = (signal: AbortSignal | undefined): Promise<void> =>
  new Promise((end) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => end());
    if (signal?.aborted) end();
    signal?.addEventListener('abort', () => end());
  });

/**
 * `peftjs serve`: OpenAI's API over a base and adapters. On this machine alone unless `--host` says otherwise, which needs a key. Ends when requests under way have.
 * Throws `bad-option`, and as `openTuned`.
 */
export const run = async ({ args, options, context }: Call): Promise<void> => {
  const host = (options['host'] as string | undefined) ?? '127.0.0.1';
  const key = (options['key'] as string | undefined) ?? process.env['PEFTJS_KEY'] ?? null;
  if (!isLoopback(host) && !key)
    throw new PeftError(
      'bad-option',
      `serve: --host ${host} is seen by others, so a key is needed: --key KEY, or the variable PEFTJS_KEY`,
    );
  const port = numberIn(options, 'port', true) ?? 8000;
  if (port > 65535) throw new PeftError('bad-option', `--port is ${port}, and must be at most 65535`);
  const sizes = {
    rows: numberIn(options, 'rows', true) ?? 8,
    queue: numberIn(options, 'queue', true) ?? 256,
    maxTokens: numberIn(options, 'maxTokens', true) ?? 512,
  };
  for (const [name, value] of Object.entries({ rows: sizes.rows, 'max-tokens': sizes.maxTokens }))
    if (value < 1) throw new PeftError('bad-option', `--${name} is ${value}, and must be at least 1`);
  const tuned = await openTuned(args, baseOptions(options));
  const { config, positionsLeft } = tuned.base.model;
  const longest = Math.min(
    config.maxPositions,
    ...[tuned.base.model, ...tuned.voices.map(({ adapted }) => adapted.model)].map((one) => one.positionsLeft),
    positionsLeft,
  );
  const tokens = numberIn(options, 'context', true) ?? Math.min(2048, longest);
  if (tokens > longest)
    throw new PeftError('bad-option', `serve: --context is ${tokens}, and the model takes ${longest}`);
  const said = await loadGenerationConfig(tuned.base.files);
  const stop = [...new Set([...(said?.eosIds ?? []), ...config.eosIds, tuned.base.end])];
  const executor = await deviceOf(options, true);
  const metrics = makeMetrics();
  status(context, `Compiles for ${[tuned.base.name, ...tuned.voices.map(({ name }) => name)].join(', ')}`);
  let line: Bar | null = null;
  let isReady = false;
  const engine = await makeEngine(tuned, {
    executor,
    context: tokens,
    rows: sizes.rows,
    queue: sizes.queue,
    stop,
    onBatch: metrics.batch,
    onKnown: metrics.known,
    onCompile: (done, total) => {
      // What adapters need that come later is not shown.
      if (isReady) return;
      line ??= bar(context, 'Compiling', { unit: 'programs', total });
      line.tell(done);
      isReady = done === total;
      if (isReady) line.end();
    },
  });
  const app = makeApp({
    engine,
    tuned,
    metrics,
    key,
    origins: (options['origin'] as readonly string[] | undefined) ?? [],
    maxTokens: sizes.maxTokens,
    answersBy: tuned.voices[0]?.name ?? null,
    loadFrom: (options['loadFrom'] as string | undefined) ?? null,
    longestBody: 2 ** 22,
  });
  try {
    const server = await new Promise<Server>((done, failed) => {
      const made = serve({ fetch: app.fetch, hostname: host, port }, ({ port }) => {
        status(
          context,
          `http://${host.includes(':') ? `[${host}]` : host}:${port}/v1 answers by ${[tuned.base.name, ...engine.voices.keys()].join(', ')} on ${executor.description}`,
        );
        context.out.write(
          context.json ? `${JSON.stringify({ port, models: [tuned.base.name, ...engine.voices.keys()] })}\n` : '',
        );
        done(made as Server);
      }) as Server;
      made.once('error', (cause) =>
        failed(new PeftError('bad-option', `serve: can't listen on ${host}: ${cause.message}`, { cause })),
      );
    });
    await asked(context.signal);
    status(context, 'Ends when the requests under way have.');
    const closed = new Promise((done) => server.close(done));
    const tooLong = setTimeout(() => server.closeAllConnections(), patience * 1000);
    await engine.close();
    server.closeIdleConnections();
    await closed;
    clearTimeout(tooLong);
  } finally {
    await executor.close();
  }
};
