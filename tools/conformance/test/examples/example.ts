import type { Method } from '@peftjs/core';

/** A method that is only its formula, without options and files. */
export const example = (name: string, attach: Method['attach']): Method => ({
  name,
  merges: false,
  config: () => ({ peft_type: name }),
  attach,
});

export const target: readonly string[] = ['q_proj', 'v_proj'];
