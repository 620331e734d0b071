import { isPeftError } from '@peftjs/tensor';
import { runDemo } from './demo.ts';
import { parseOptions } from './options.ts';

const options = parseOptions(process.argv.slice(2));
try {
  const result = await runDemo(options);
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
} catch (error) {
  // A mistake of the user's is a message; anything else is ours, and the trace helps.
  process.stderr.write(
    `\n${isPeftError(error) ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`,
  );
  process.exitCode = 1;
}
