import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Engine } from './engine.ts';

/** Figures of a server, for Prometheus. */
export interface Metrics {
  /** A request that was answered. */
  answered(route: string, status: number, seconds: number): void;
  /** Tokens that were read and written. */
  tokens(prompt: number, written: number): void;
  /** A step of a batch: the requests in it. */
  batch(requests: number): void;
  /** A prompt: how many of its tokens had been read before. */
  known(tokens: number): void;
  /** All of them as text. */
  text(engine: Engine): Promise<{ readonly type: string; readonly body: string }>;
}

/** Makes the figures of one server. */
export const makeMetrics = (): Metrics => {
  const registers = [new Registry()];
  const requests = new Counter({
    name: 'peftjs_requests_total',
    help: 'Requests answered',
    labelNames: ['route', 'status'],
    registers,
  });
  const seconds = new Histogram({
    name: 'peftjs_request_seconds',
    help: 'Time to the end of an answer',
    labelNames: ['route'],
    buckets: [0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120],
    registers,
  });
  const tokens = new Counter({
    name: 'peftjs_tokens_total',
    help: 'Tokens of prompts, those of them that had been read before, and tokens written',
    labelNames: ['kind'],
    registers,
  });
  const batches = new Histogram({
    name: 'peftjs_batch_requests',
    help: 'Requests that ran together, by steps',
    buckets: [1, 2, 4, 8, 16, 32],
    registers,
  });
  const waiting = new Gauge({ name: 'peftjs_requests_waiting', help: 'Requests that wait', registers });
  const running = new Gauge({ name: 'peftjs_requests_running', help: 'Requests that run', registers });
  const adapters = new Gauge({ name: 'peftjs_adapters', help: 'Adapters loaded', registers });
  const memory = new Gauge({ name: 'peftjs_resident_bytes', help: 'Memory of the process', registers });
  return {
    answered: (route, status, time) => {
      requests.inc({ route, status });
      seconds.observe({ route }, time);
    },
    tokens: (prompt, written) => {
      tokens.inc({ kind: 'prompt' }, prompt);
      tokens.inc({ kind: 'written' }, written);
    },
    batch: (count) => batches.observe(count),
    known: (count) => tokens.inc({ kind: 'known' }, count),
    text: async (engine) => {
      const load = engine.load();
      waiting.set(load.waiting);
      running.set(load.running);
      adapters.set(engine.voices.size);
      memory.set(process.memoryUsage.rss());
      return { type: registers[0]!.contentType, body: await registers[0]!.metrics() };
    },
  };
};
