import { exportModel } from '@peftjs/export';
import { type SaveGgufOptions, saveGguf, saveGgufAdapter } from '@peftjs/gguf';
import { PeftError } from '@peftjs/tensor';
import type { Call } from '../commands.ts';
import { result } from '../context.ts';
import { merged } from '../merged.ts';
import { placeKind } from '../place-kind.ts';
import { numberIn } from '../sampling.ts';
import { withSession } from '../session.ts';
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
  await withSession([path!], options, async ({ base, voices, executor }) => {
    if (to === 'gguf-adapter') {
      const dir = (await placeKind(path!)) === 'run' ? runFiles(path!).adapter : path!;
      await saveGgufAdapter(dir, out!, {
        base: base.model,
        ...(storage !== undefined && { storage: storage as 'F16' }),
      });
    } else {
      const [voice] = voices;
      const model = voice ? await merged(voice, executor, { storedAs: 'f32', context }) : base.model;
      const given = numberIn(options, 'context', true);
      if (to === 'onnx') await exportModel(model, out!, { executor, ...(given !== undefined && { context: given }) });
      else
        await saveGguf(model, out!, {
          executor,
          ...(storage !== undefined && { storage: storage as NonNullable<SaveGgufOptions['storage']> }),
        });
    }
    result(context, { to, out }, `Written: ${out}`);
  });
};
