// Steps of LoRA on one base, in a process of its own, whose memory is theirs. Arguments: the row's name, `cpu` or `webgpu`.
import { writeSync } from 'node:fs';
import { baseModelDir } from '@peftjs/base-model';
import { forgetPeak, peakMemory } from '@peftjs/bench';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { loadModel } from '@peftjs/transformer';
import { webgpu } from '@peftjs/webgpu';
import type { Alone, Device } from './apart.ts';
import { baseOf } from './bases.ts';
import { textOf, tokensPerSecond } from './tune.ts';

const [name, device] = process.argv.slice(2) as [string, Device];
const dir = baseModelDir();
const [tokenizer, model] = [await loadTokenizer(dir), await loadModel(dir)];
const onCpu = await cpu();
const base = await baseOf(name, model, tokenizer, onCpu);
const text = await textOf(tokenizer);
const executor = device === 'cpu' ? onCpu : await webgpu({ adapter: 'any' });
forgetPeak();
const watch = device === 'cpu' ? { batchSize: 4, turns: 7, warmUp: 2 } : { batchSize: 1, turns: 4, warmUp: 1 };
const [speed] = await tokensPerSecond([base], text, executor, watch);
const alone: Alone = { tokensPerSecond: speed!, resident: peakMemory(), device: executor.description };
writeSync(1, JSON.stringify(alone));
process.exit(0); // a driver's threads would keep the process alive
