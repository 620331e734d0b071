import { say } from '@peftjs/cli/shared';
import { isPeftError } from '@peftjs/tensor';
import { classify } from './classes/classify.ts';
import { compare } from './compare.ts';
import { runDemo } from './demo.ts';
import { parseOptions } from './options.ts';

// A run of a comparison ends with the one that compares, however that ended.
process.once('disconnect', () => process.exit(1));
process.channel?.unref();

const options = parseOptions(process.argv.slice(2));
try {
  const result =
    options.task !== 'text'
      ? await classify(options)
      : options.compare
        ? await compare(options.compare, options)
        : await runDemo(options);
  if ('failed' in result && result.failed.length > 0) process.exitCode = 1;
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
} catch (error) {
  // A mistake of the user's is a message; anything else is ours, and the trace helps.
  if (isPeftError(error)) say(process.stderr, `\n${(error as Error).message}\n`);
  else process.stderr.write(`\n${(error as Error).stack ?? String(error)}\n`);
  // A run that was stopped has its own.
  process.exitCode ||= 1;
}
