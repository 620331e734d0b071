import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Runs a command and hands on each line that it prints. Throws where it fails, with the end of what it said. */
export const lineByLine = async (
  [file, ...args]: readonly string[],
  told: (line: string, i: number) => Promise<void>,
): Promise<void> => {
  const child = spawn(file!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text) => void (said = `${said}${text}`.slice(-2000)));
  const ended = once(child, 'close') as Promise<[number | null]>;
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) await told(line, lines++);
  const [code] = await ended;
  if (code !== 0) throw new Error(`${file} ${args[0]} ended with ${code}: ${said}`);
};
