import { readFileSync } from 'node:fs';
import { isPeftError, PeftError } from '@peftjs/tensor';
import type { ProgressStream } from '@peftjs/trainer';
import { Command, CommanderError } from 'commander';
import { commands } from './commands.ts';
import type { Context } from './context.ts';
import { exitCodeOf, exitCodes, Stopped } from './exit-codes.ts';
import { say } from './terminal.ts';

/** Where the command writes; default: the process's own streams. */
export interface MainOptions {
  readonly out?: ProgressStream;
  readonly err?: ProgressStream;
  readonly input?: NodeJS.ReadableStream;
  /** Ends a long command after its step, as Ctrl-C does. */
  readonly signal?: AbortSignal;
}

/** Closes an error: the message for people, and as JSON where that was asked for; gives the exit code. */
const told = (error: unknown, { out, err, json }: Context): number => {
  // A mistake of the user's is a message; anything else is ours, and the trace helps.
  if (isPeftError(error)) say(err, `${(error as Error).message}\n`);
  else err.write(`${(error as Error).stack ?? String(error)}\nThis is a fault of peftjs; please report it.\n`);
  const code = isPeftError(error) ? error.code : 'bug';
  if (json) out.write(`${JSON.stringify({ error: { code, message: (error as Error).message } })}\n`);
  return error instanceof Stopped ? error.exitCode : exitCodeOf(error);
};

/** The version in the package's own file. */
const version = (): string =>
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version as string;

/** Answers a shell that asks how a line may go on: `peftjs complete -- train --opt`. */
const complete = async (typed: readonly string[]): Promise<number> => {
  const [{ completions }, { choicesFor }] = await Promise.all([import('./completion.ts'), import('./choices.ts')]);
  completions(commands, await choicesFor(typed)).parse([...typed]);
  return exitCodes.done;
};

/** Runs the command line of `peftjs` and gives the code that the process is to end with. Never throws. */
export const main = async (args: readonly string[], options: MainOptions = {}): Promise<number> => {
  const { out = process.stdout, err = process.stderr, signal, input } = options;
  if (args[0] === 'complete' && args[1] === '--') return complete(args.slice(2));
  // Whoever reads may have enough: `peftjs methods | head`.
  if (out === process.stdout)
    process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));
  const context: Context = {
    out,
    err,
    json: args.includes('--json'),
    ...(signal && { signal }),
    ...(input && { input }),
  };
  const program = new Command('peftjs')
    .description('Parameter-efficient fine-tuning: train, chat, serve.')
    .version(version(), '--version', 'the version of the command')
    .configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => err.write(text) })
    .configureHelp({ minWidthToWrap: 20, helpWidth: out.columns ?? 80 })
    .helpCommand(false)
    .exitOverride()
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 wrong input, 70 a fault of ours, 130 stopped by Ctrl-C.')
    .showSuggestionAfterError();
  for (const { name, args: usage, about, flags = [], free = false, examples = [], load } of commands) {
    const command = program
      .command(name + (usage ? ` ${usage}` : ''))
      .description(about)
      .option('--json', 'the result as one line of JSON')
      .allowExcessArguments(false)
      .copyInheritedSettings(program);
    for (const [flag, text] of flags) command.option(flag, text);
    if (examples.length > 0) command.addHelpText('after', `\nExamples:\n${examples.map((e) => `  ${e}`).join('\n')}`);
    // What the schema says is not known here: it is loaded with the command.
    if (free)
      command.addHelpText(
        'after',
        '\nEach field of run.yaml is a flag: --optimizer.rate 1e-4, --data.context 512, --batch-size 4.',
      );
    if (free) command.allowUnknownOption().allowExcessArguments().argument('[arguments...]');
    command.action(async () => {
      const { run } = await load();
      await run({
        args: free ? command.args : command.processedArgs.flat().filter((a) => a !== undefined),
        options: command.opts(),
        context,
      });
    });
  }
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0 || error.code === 'commander.help')
        return args.length === 0 ? exitCodes.wrong : exitCodes.done;
      if (context.json)
        return told(new PeftError('bad-option', error.message), { ...context, err: { write: () => true } });
      return exitCodes.wrong;
    }
    return told(error, context);
  }
};
