import { save } from '@peftjs/core';
import type { Call } from './commands.ts';
import { result } from './context.ts';
import { onlyVoice } from './merged.ts';
import { checkApart } from './output.ts';
import { withSession } from './session.ts';

/**
 * Writes an adapter anew, in safetensors and with the names that its library has today: one of `torch.save` (`adapter_model.bin`), one of older versions. Of a LoRA
 * for llama.cpp: `peftjs export --to gguf-adapter`.
 */
export const convertAdapter = async (path: string, out: string, { options, context }: Call): Promise<void> => {
  checkApart('convert', path, out);
  await withSession([path], options, async (session) => {
    const { adapted } = onlyVoice('convert', session);
    await save(adapted, out, { executor: session.executor, baseModel: session.base.name });
    result(context, { adapter: out, method: adapted.method.name }, `Adapter: ${out}, ${adapted.method.name}`);
  });
};
