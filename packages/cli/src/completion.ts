import { type Complete, RootCommand } from '@bomb.sh/tab';
import type { CommandLine } from './commands.ts';

/** The shells for which there is a script. */
export const shells = ['bash', 'zsh', 'fish'] as const;

/** Words with what they mean. */
type Words = readonly (readonly [word: string, about: string])[];

/** The words that may stand after a flag, or in place of an argument, where they are known: by the command and the name. */
export interface Choices {
  of(command: string, name: string): Words;
  /** Further flags of a command that takes those of a run. */
  readonly runFlags: Words;
}

const handler =
  (words: Words) =>
  (complete: Complete): void => {
    for (const [word, about] of words) complete(word, about);
  };

/** All commands with their flags and arguments, as the table of commands has them, for the completion of a shell. */
export const completions = (commands: readonly CommandLine[], choices: Choices): RootCommand => {
  const root = new RootCommand();
  for (const { name, args = '', about, flags = [], free = false } of commands) {
    const command = root.command(name, about);
    command.option('json', 'the result as one line of JSON');
    for (const [flag, text] of flags) {
      const [, word, value] = /^--(\S+)(?: (<.+>))?$/.exec(flag)!;
      if (value === undefined) command.option(word!, text);
      else command.option(word!, text, handler(choices.of(name, word!)));
    }
    if (free) for (const [word, text] of choices.runFlags) command.option(word, text, handler(choices.of(name, word)));
    const [, argument, dots] = /[<[](\w+)(\.\.\.)?[>\]]/.exec(args) ?? [];
    if (argument === undefined && !free) continue;
    const own = choices.of(name, argument ?? 'file');
    command.argument(argument ?? 'file', own.length > 0 ? handler(own) : undefined, dots !== undefined);
  }
  return root;
};
