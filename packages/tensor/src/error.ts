/** What went wrong, for programs; the message is for people. */
export type PeftErrorCode =
  | 'bad-shape'
  | 'bad-dtype'
  | 'bad-option'
  | 'bad-program'
  | 'bad-feed'
  | 'device-unavailable'
  | 'device-lost'
  | 'device-error'
  | 'out-of-memory'
  | 'file-missing'
  | 'read-failed'
  | 'bad-safetensors'
  | 'bad-torch'
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

/** Every error that these packages throw on purpose: a code for programs, a message that says what to do. */
export class PeftError extends Error {
  override readonly name: string = 'PeftError';
  readonly code: PeftErrorCode;

  constructor(code: PeftErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, mark, { value: true });
  }
}

/** Whether a value is a `PeftError`, also one made by another copy of this package. */
export const isPeftError = (value: unknown): value is PeftError =>
  typeof value === 'object' && value !== null && mark in value;
