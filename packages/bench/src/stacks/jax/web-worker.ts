import { resolveObjectURL } from 'node:buffer';
import { Worker as ThreadWorker } from 'node:worker_threads';

const prelude = `
const { parentPort } = require('node:worker_threads');
globalThis.self = globalThis;
globalThis.postMessage = (message) => parentPort.postMessage(message);
parentPort.on('message', (data) => self.onmessage({ data }));
`;

/**
 * A browser's `Worker` on a thread of Node, for the pool with which jax-js spreads its kernels over threads; without it the library runs on
 * one. As much of the interface as that pool uses.
 */
class WebWorker {
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onerror: ((event: { readonly message: string }) => void) | null = null;
  private readonly thread: Promise<ThreadWorker>;

  constructor(url: string) {
    const blob = resolveObjectURL(url)!;
    this.thread = blob.text().then((source) => {
      const thread = new ThreadWorker(prelude + source, { eval: true });
      thread.on('message', (data) => this.onmessage?.({ data }));
      thread.on('error', (error: Error) => this.onerror?.({ message: error.message }));
      return thread;
    });
  }

  postMessage(message: unknown): void {
    void this.thread.then((thread) => thread.postMessage(message));
  }
}

/** Puts `Worker` where a browser has it, and says how many to start. */
export const installWebWorker = (threads: number): void => {
  Object.assign(globalThis, { Worker: WebWorker });
  if ((globalThis as { navigator?: { gpu?: unknown } }).navigator?.gpu) return;
  Object.defineProperty(globalThis, 'navigator', {
    value: { userAgent: 'Node.js', hardwareConcurrency: threads },
    configurable: true,
  });
};
