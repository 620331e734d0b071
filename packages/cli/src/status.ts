import type { Context } from './context.ts';
import { say } from './terminal.ts';

/** Says how far a command is. */
export const status = ({ err }: Context, text: string): void => say(err, `${text}\n`);
