import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diReft, type LoadPyreftOptions, loadPyreft, loReft, noReft } from '@peftjs/adapters';
import { load, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { constant, type Executor, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { distance } from '@peftjs/testkit';
import { type CausalLM, generate, loadModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';
import { executors } from './executors.ts';

const data = join(import.meta.dirname, '../data/pyreft');

/** The folders, and what they do not hold: the positions `f2+l3` and f. */
const folders = {
  loreft: [loReft, { prefixPositions: 2, suffixPositions: 3 }],
  noreft: [noReft, { prefixPositions: 1, suffixPositions: 3 }],
  direft: [diReft, { prefixPositions: 3 }],
  nodireft: [diReft, { suffixPositions: 2, activation: 'gelu' }],
} as const;
type Name = keyof typeof folders;
const names = Object.keys(folders) as Name[];
const optionsOf = (name: Name): LoadPyreftOptions => folders[name][1];

const base = await loadModel(modelDir('plain'));
const { data: all, shape } = (await recordedIn(join(data, 'ids.safetensors'))).get('ids')!;
const ids = constant(Int32Array.from(all), shape);
const short = constant(Int32Array.from(all.subarray(0, 3)), [1, 3]);

describe.each(executors)('on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => {
    executor = await open();
  });
  afterAll(() => executor.close());
  const logits = async (model: CausalLM, of: Tensor): Promise<Float32Array> =>
    (await evaluate({ y: model.logits(of) }, { executor }))['y'] as Float32Array;

  describe.each(names)('%s of pyreft', async (name) => {
    const recorded = await recordedIn(join(data, `${name}.safetensors`));
    const adapted = await loadPyreft(base, join(data, name), optionsOf(name));

    test('gives the same logits', async () => {
      const got = await logits(adapted.model, ids);
      expect(distance(got, recorded.get('logits')!.data)).toBeLessThan(1e-4);
      expect(distance(await logits(base, ids), got)).toBeGreaterThan(1e-2);
    });

    test('changes at most half of a prompt from either end', async () => {
      expect(distance(await logits(adapted.model, short), recorded.get('short')!.data)).toBeLessThan(1e-4);
    });

    test('changes a prompt alone, and nothing that goes on with it', async () => {
      const greedy = [...recorded.get('greedy')!.data];
      const prompt = Int32Array.from(all.subarray(0, 8));
      expect(await generate(adapted.model, { executor, prompt, maxTokens: 20 })).toEqual(greedy);
    });

    test('is saved and loaded as the same function', async () => {
      const files = memoryFiles();
      await save(adapted, files, { executor });
      const again = await load(base, files, [folders[name][0]]);
      const got = await logits(again.model, short);
      expect(distance(got, recorded.get('short')!.data)).toBeLessThan(1e-4);
    });
  });
});

test('the frozen matrix of a LoReFT is orthogonal, and begins with the columns of the file', async () => {
  const executor = reference();
  const adapted = await loadPyreft(base, join(data, 'loreft'), optionsOf('loreft'));
  const frozen = [...adapted.state].filter(([name]) => name.endsWith('.0.base'));
  expect(frozen).toHaveLength(2);
  for (const [, variable] of frozen) {
    const values = await executor.read(variable);
    const d = 16;
    const gram = Array.from({ length: d * d }, (_, at) => {
      const [i, j] = [Math.floor(at / d), at % d];
      return Array.from({ length: d }, (_, k) => values[k * d + i]! * values[k * d + j]!).reduce((a, b) => a + b, 0);
    });
    const eye = gram.map((_, at) => (at % (d + 1) === 0 ? 1 : 0));
    expect(distance(gram, eye)).toBeLessThan(1e-5);
  }
});

describe('what a folder asks for and is not computed', () => {
  type Config = Record<string, unknown> & { representations: unknown[][]; intervention_types: string[] };
  /** A folder with another config or with further files. */
  const changed = async (name: Name, change: (config: Config) => void, more: Record<string, string> = {}) => {
    const files = new Map<string, string | Uint8Array>(Object.entries(more));
    for (const file of await readdir(join(data, name))) files.set(file, await readFile(join(data, name, file)));
    const config = JSON.parse(String(files.get('config.json'))) as Config;
    change(config);
    files.set('config.json', JSON.stringify(config));
    return memoryFiles(files);
  };
  const refusal = async (
    name: Name,
    change: (config: Config) => void,
    options: LoadPyreftOptions = optionsOf(name),
    more: Record<string, string> = {},
  ): Promise<string> => {
    const files = await changed(name, change, more);
    return messageOf('bad-adapter', () => loadPyreft(base, files, options));
  };
  const nothing = (): void => {};
  const field = (at: number, value: unknown) => (config: Config) => {
    config.representations[0]![at] = value;
  };

  test('is refused by name: interventions, places, ways of tying them', async () => {
    const classes = (config: Config): void => {
      config.intervention_types = config.intervention_types.map((name) => name.replace('Loreft', 'Consreft'));
    };
    expect(await refusal('loreft', classes)).toContain("<class 'pyreft.interventions.ConsreftIntervention'>");
    const mixed = (config: Config): void => {
      config.intervention_types[0] = "<class 'pyvene.models.interventions.VanillaIntervention'>";
    };
    expect(await refusal('loreft', mixed)).toMatch(/VanillaIntervention.* and .*LoreftIntervention/);
    expect(await refusal('loreft', field(1, 'mlp_output'))).toContain('component "mlp_output" of layer 0');
    expect(await refusal('loreft', field(2, 'h.pos'))).toContain('unit "h.pos"');
    expect(await refusal('loreft', field(9, 'tied'))).toContain('intervention_link_key "tied"');
    expect(await refusal('loreft', (config) => Object.assign(config, { mode: 'serial' }))).toContain('got "serial"');
    const more = { 'pytorch_model.bin': '' };
    expect(await refusal('loreft', nothing, optionsOf('loreft'), more)).toContain('pytorch_model.bin holds weights');
  });

  test('is refused where it does not fit the model or itself', async () => {
    expect(await refusal('loreft', field(0, 2))).toContain('the model has no layers 2; it has model.layers.0');
    expect(await refusal('direft', field(1, 'model.blocks[1].output'))).toContain('no layers model.blocks.1');
    expect(await refusal('loreft', field(4, 5))).toContain('has rank 3, but config.json says 5');
    expect(await refusal('noreft', field(0, 1))).toContain('its layers are 1, 1, 0, 1');
    const long = (config: Config): void => {
      config.representations = Array.from({ length: 5 }, () => config.representations[0]!);
    };
    expect(await refusal('loreft', long)).toContain('must list 1 to 4 places in this model, got 5');
    const other = (config: Config): void => {
      config.intervention_types = config.intervention_types.map((name) => name.replace('Nodireft', 'Direft'));
    };
    expect(await refusal('nodireft', other)).toMatch(/original is missing[^]*has no proj_layer.weight/);
  });

  test('is refused with options that it contradicts', async () => {
    expect(await refusal('noreft', nothing, { prefixPositions: 1 })).toContain('must both be above 0, got 1 and 0');
    const bent = { ...optionsOf('noreft'), activation: 'gelu' } as const;
    expect(await refusal('noreft', nothing, bent)).toContain('proj_layer has a bias');
    const missing = (options: unknown): Promise<string> =>
      messageOf('bad-option', () => loadPyreft(base, join(data, 'loreft'), options as LoadPyreftOptions));
    expect(await missing({})).toContain('does not say which tokens are changed');
    expect(await missing({ prefixPositions: 1, activation: 'prelu' })).toContain('but not prelu');
    expect(await missing({ first: 1 })).toContain('first');
  });

  test('load says which function reads it', async () => {
    const said = await messageOf('file-missing', () => load(base, join(data, 'loreft'), [loReft]));
    expect(said).toContain('loadPyreft of @peftjs/adapters');
  });
});
