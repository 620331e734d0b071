/** The kind of an error, for programs; the message is for people. */
export type PeftErrorCode =
  | 'bad-shape'
  | 'bad-dtype'
  | 'bad-option'
  | 'bad-program'
  | 'bad-feed'
  | 'mixed-copies'
  | 'device-unavailable'
  | 'device-lost'
  | 'device-error'
  | 'out-of-memory'
  | 'file-missing'
  | 'read-failed'
  | 'bad-safetensors'
  | 'bad-torch'
  | 'bad-gguf'
  | 'bad-config'
  | 'unknown-architecture'
  | 'bad-tokenizer'
  | 'bad-adapter'
  | 'bad-data'
  | 'write-failed'
  | 'no-match'
  | 'not-mergeable'
  | 'state-mismatch'
  | 'diverged';

const mark = Symbol.for('peftjs.error');

const longest = 1000;

/** A message of at most a thousand characters: what happened stands at its start, what to do at its end. */
const fitted = (message: string): string =>
  message.length <= longest ? message : `${message.slice(0, 650)} […] ${message.slice(655 - longest)}`;

/** Every error that these packages throw on purpose: a code for programs, a message, of at most a thousand characters, that says what to do. */
export class PeftError extends Error {
  override readonly name: string = 'PeftError';
  readonly code: PeftErrorCode;

  constructor(code: PeftErrorCode, message: string, options?: ErrorOptions) {
    super(fitted(message), options);
    this.code = code;
    Object.defineProperty(this, mark, { value: true });
  }
}

/** Whether a value is a `PeftError`, also one made by another copy of this package. */
export const isPeftError = (value: unknown): value is PeftError =>
  typeof value === 'object' && value !== null && mark in value;
