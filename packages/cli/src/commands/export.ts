import { exportModel } from '@peftjs/export';
import { type SaveGgufOptions, saveGguf, saveGgufAdapter } from '@peftjs/gguf';
import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { result } from '../context.ts';
import { tunedOfTask } from '../learn/open-run.ts';
import { merged } from '../merged.ts';
import { placeKind } from '../place-kind.ts';
import { numberIn } from '../sampling.ts';
import { withDevice, withSession } from '../session.ts';
import { runFiles } from '../train/run-folder.ts';

const kinds = ['onnx', 'gguf', 'gguf-adapter'] as const;

/**
 * `peftjs export`: a model, with its adapter folded in, for other runtimes: `--to onnx` (a folder for transformers.js, Optimum), `--to gguf` (a file for llama.cpp), or
 * `--to gguf-adapter` (the LoRA alone, for `llama-cli --lora`). Throws `bad-option`, and as the writers do.
 */
export const run = async ({ args: [path, out], options, context }: Call): Promise<void> => {
  const { to, storage } = options as Readonly<Record<string, string | undefined>>;
  if (!kinds.includes(to as (typeof kinds)[number]))
    throw new PeftError(
      'bad-option',
      `export: --to is ${to ?? 'missing'}; there are ${kinds.join(', ')}; peftjs merge writes Hugging Face's layout`,
    );
  const contextOf = (): { readonly context?: number } => {
    const given = numberIn(options, 'context', true);
    return given === undefined ? {} : { context: given };
  };
  const written = (): void => result(context, { to, out }, `Written: ${out}`);
  const own = await tunedOfTask(path, options);
  if (own) {
    if (to !== 'onnx')
      throw new PeftError(
        'bad-option',
        `export: --to ${to} is for models that write, and ${path} is a run of the task ${own.task}; export --to onnx or peftjs merge takes it`,
      );
    await withDevice(options, async (executor) => {
      const model = await merged(own.adapted, executor, { storedAs: 'f32', context });
      await exportModel(model, out!, { executor, ...contextOf() });
    });
    return written();
  }
  await withSession([path!], options, async ({ base, voices, executor }) => {
    if (to === 'gguf-adapter') {
      const dir = (await placeKind(path!)) === 'run' ? runFiles(path!).adapter : path!;
      await saveGgufAdapter(dir, out!, {
        base: base.model,
        ...(storage !== undefined && { storage: storage as 'F16' }),
      });
    } else {
      const [voice] = voices;
      const model = voice ? await merged(voice.adapted, executor, { storedAs: 'f32', context }) : base.model;
      if (to === 'onnx') await exportModel(model, out!, { executor, ...contextOf() });
      else
        await saveGguf(model, out!, {
          executor,
          ...(storage !== undefined && { storage: storage as NonNullable<SaveGgufOptions['storage']> }),
        });
    }
    written();
  });
};
