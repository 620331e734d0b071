import { attach, prepare } from '@peftjs/core';
import { evaluate, input, reference, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { shake } from '@peftjs/testkit';
import {
  buildModel,
  imageText,
  parseConfig,
  type Task,
  textFeatures,
  type ZeroShotOptions,
  zeroShot,
} from '@peftjs/transformer';
import { tinyWeights, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { type CoOpOptions, coCoOp, coOp, maple, tipAdapter } from '../src/index.ts';
import { picture } from './picture.ts';

const side = { num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 12 };
const configOf = (modelType: string) =>
  parseConfig({
    model_type: modelType,
    text_config: {
      ...side,
      hidden_size: 12,
      vocab_size: 30,
      max_position_embeddings: 8,
      bos_token_id: 0,
      eos_token_id: 9,
    },
    vision_config: { ...side, hidden_size: 12, image_size: 4, patch_size: 2 },
    projection_dim: 6,
  });
const clip = await configOf('clip');
const open = (task: Task<Tensor>) => buildModel(clip, tinyWeights(1), task);

const ofTexts = (...texts: readonly (readonly number[])[]): ZeroShotOptions => ({
  labels: texts.map((_, i) => `class ${i}`),
  texts: texts.map((_, i) => String(i)),
  encode: (text) => texts[Number(text)]!,
  padId: 9,
});
const two = ofTexts([0, 5, 5, 1, 9], [0, 5, 5, 2, 3, 9]);

const values = async (y: Tensor): Promise<readonly number[]> => [
  ...(await evaluate({ y }, { executor: reference() }))['y']!,
];

describe('coCoOp', () => {
  test('texts of each picture are its own: another picture of the batch changes nothing', async () => {
    const executor = reference();
    const base = open(zeroShot(two));
    const adapted = attach(base, [coCoOp({ length: 2, reduction: 2 })]);
    await shake(adapted.params, { executor });
    const logits = async (pixels: Tensor): Promise<readonly number[]> => [
      ...(await evaluate({ y: adapted.model.outputs({ pixels }) }, { executor }))['y']!,
    ];
    const [first, both] = [await logits(picture(base)), await logits(picture(base, 2))];
    expect(
      both
        .slice(0, 2)
        .map((v, i) => Math.abs(v - first[i]!))
        .every((d) => d < 1e-5),
    ).toBe(true);
    expect(both.slice(2)).not.toEqual(both.slice(0, 2));
  });

  test('says what it needs', async () => {
    const method = coCoOp({ length: 2, reduction: 2 });
    const alone = attach(open(textFeatures()), [method]).model;
    expect(await messageOf('bad-option', () => alone.outputs({ ids: tokens([0, 5, 5, 1, 9]) }))).toContain(
      'texts depend on the picture',
    );
    expect(await messageOf('bad-option', () => attach(open(zeroShot(two)), [coCoOp({ length: 2 })]))).toContain(
      "reduction 16 leaves nothing of a picture's vector of 6 values",
    );
    const other = open(zeroShot(ofTexts([0, 5, 6, 1, 9], [0, 5, 5, 2, 9])));
    expect(
      await messageOf('bad-data', () => attach(other, [method]).model.outputs({ pixels: picture(other) })),
    ).toContain('the text of each class must have one placeholder 2 times');
  });
});

describe('coOp', () => {
  test('beginning with words it is the model with those words', async () => {
    const words = open(zeroShot(ofTexts([0, 7, 8, 1, 9], [0, 7, 8, 2, 3, 9])));
    const pixels = picture(words, 2);
    expect(await values(attach(words, [coOp({ words: [7, 8] })]).model.outputs({ pixels }))).toEqual(
      await values(words.outputs({ pixels })),
    );
  });

  test('a context of one class changes the logits of that class alone', async () => {
    const executor = reference();
    const base = open(zeroShot(two));
    const pixels = picture(base, 2);
    const adapted = attach(base, [coOp({ length: 2, classes: 2 })]);
    const logits = async (): Promise<ArrayLike<number>> =>
      (await evaluate({ y: adapted.model.outputs({ pixels }) }, { executor }))['y']!;
    const before = await logits();
    const ctx = adapted.params.get('ctx')!;
    await executor.write(
      ctx,
      ((await executor.read(ctx)) as Float32Array).map((v, i) => (i < 24 ? v : v + Math.sin(i))),
    );
    const after = await logits();
    expect([after[0], after[2]]).toEqual([before[0], before[2]]);
    expect(Math.abs(after[1]! - before[1]!)).toBeGreaterThan(1e-3);
  });

  const says = (options: CoOpOptions, texts: ZeroShotOptions, code: 'bad-data' | 'bad-option'): Promise<string> =>
    messageOf(code, () => {
      const base = open(zeroShot(texts));
      return attach(base, [coOp(options)]).model.outputs({ pixels: picture(base) });
    });

  test.each<[string, CoOpOptions, ZeroShotOptions]>([
    ['too few placeholders', { length: 3 }, two],
    ['too many', { length: 1 }, two],
    ['one text without', { length: 2 }, ofTexts([0, 5, 5, 1, 9], [0, 5, 4, 2, 9])],
    ['others in another text', { length: 2 }, ofTexts([0, 5, 5, 1, 9], [0, 4, 4, 2, 9])],
    ['no token before', { length: 2 }, ofTexts([5, 5, 1, 9], [5, 5, 2, 9])],
    ['other words', { words: [5, 6] }, two],
    ['nothing behind', { length: 3 }, ofTexts([0, 9, 9, 9])],
  ])('refuses texts with %s', async (_, options, texts) => {
    expect(await says(options, texts, 'bad-data')).toMatch(/coOp: the text of each class must have .* Give zeroShot/);
  });

  test('refuses contexts of another number of classes, too long ones, and words that there are not', async () => {
    expect(await says({ length: 2, classes: 3 }, two, 'bad-option')).toContain('3 classes, and texts of 2');
    expect(await says({}, two, 'bad-option')).toContain('context of 16 rows from place 1');
    expect(await says({ words: [5, 31] }, two, 'bad-option')).toContain('tokens 31, the vocabulary is 0 to 29');
    expect(await messageOf('bad-option', () => coOp({ length: 3, words: [5, 5] }))).toContain('words are 2 tokens');
  });

  test('of texts that are fed nothing is known', async () => {
    const adapted = attach(open(textFeatures()), [coOp({ length: 2 })]);
    expect(await messageOf('bad-option', () => adapted.model.outputs({ ids: input('ids', [1, 5], 'i32') }))).toContain(
      'load the model for zeroShot',
    );
    await values(adapted.model.outputs({ ids: tokens([0, 5, 5, 1, 9]) }));
  });

  test('of SigLIP the context is where a text begins, and what it was is forgotten', async () => {
    const executor = reference();
    const base = buildModel(await configOf('siglip'), tinyWeights(1), zeroShot(ofTexts([5, 5, 1, 9], [5, 5, 2, 9])));
    const pixels = picture(base);
    const other = buildModel(await configOf('siglip'), tinyWeights(1), zeroShot(ofTexts([6, 6, 1, 9], [6, 6, 2, 9])));
    const [a, b] = [base, other].map((model) => attach(model, [coOp({ length: 2, start: 0 })]));
    await shake(a!.params, { executor });
    await executor.write(b!.params.get('ctx')!, await executor.read(a!.params.get('ctx')!));
    const { y, z } = await evaluate({ y: a!.model.outputs({ pixels }), z: b!.model.outputs({ pixels }) }, { executor });
    expect([...y!]).toEqual([...z!]);
  });
});

describe('maple', () => {
  const pixelsOf = (base: ReturnType<typeof open>): Tensor => picture(base, 2);

  test('changes vectors of pictures and of texts, in as many blocks as are asked for', async () => {
    const base = open(zeroShot(two));
    const names = (depth: number): readonly string[] => [...attach(base, [maple({ length: 2, depth })]).params.keys()];
    expect(names(1)).toEqual(['ctx', 'proj.weight', 'proj.bias']);
    expect(names(0)).toEqual(names(2));
    const adapted = attach(base, [maple({ length: 2 })]);
    const executor = reference();
    const logits = async (): Promise<ArrayLike<number>> =>
      (await evaluate({ y: adapted.model.outputs({ pixels: pixelsOf(base) }) }, { executor }))['y']!;
    for (const name of ['compound_prompts_text.0', 'compound_prompt_projections.0.bias', 'ctx']) {
      const before = [...Array.from(await logits())];
      const param = adapted.params.get(name)!;
      await executor.write(
        param,
        ((await executor.read(param)) as Float32Array).map((v, i) => v + Math.sin(i + 1)),
      );
      const after = Array.from(await logits());
      expect(Math.max(...after.map((v, i) => Math.abs(v - before[i]!)))).toBeGreaterThan(1e-5);
    }
  });

  test('refuses more blocks than a tower has, and texts without placeholders', async () => {
    const base = open(zeroShot(two));
    expect(await messageOf('bad-option', () => attach(base, [maple({ length: 2, depth: 3 })]))).toContain(
      'prompts in 3 blocks, and a tower has 2',
    );
    expect(
      await messageOf('bad-data', () => attach(base, [maple({ length: 3 })]).model.outputs({ pixels: pixelsOf(base) })),
    ).toContain('maple: the text of each class must have');
  });
});

describe('tipAdapter', () => {
  const examples = (labels: readonly number[]) => {
    const base = open(zeroShot(two));
    const { node, shape } = picture(base, labels.length);
    return {
      rows: labels.length,
      columns: {
        pixels: node.kind === 'constant' ? (node.data as Float32Array) : new Float32Array(),
        labels: Int32Array.from(labels),
      },
      shapes: { pixels: shape, labels: [labels.length] },
    };
  };

  test('a picture of its cache gets α more at its class', async () => {
    const executor = reference();
    const base = open(zeroShot(two));
    const [method] = await prepare(base, [tipAdapter({ alpha: 2, beta: 3 })], {
      data: [examples([1, -100])],
      executor,
    });
    const pixels = picture(base, 1);
    const [was, is] = [
      await values(base.outputs({ pixels })),
      await values(attach(base, [method!]).model.outputs({ pixels })),
    ];
    expect(is[0]).toBeCloseTo(was[0]!, 5);
    expect(is[1]).toBeCloseTo(was[1]! + 2, 5);
  });

  test('refuses tasks without classes, labels that are none, and what was not prepared', async () => {
    const executor = reference();
    const says = (code: 'bad-option' | 'bad-data', task: Task<Tensor>, labels: readonly number[]): Promise<string> =>
      messageOf(code, () => prepare(open(task), [tipAdapter()], { data: [examples(labels)], executor }));
    expect(await says('bad-option', imageText(), [0])).toContain('imageText has none; load the model for zeroShot');
    expect(await says('bad-data', zeroShot(two), [2])).toContain('labels holds 2; the classes are 0 to 1');
    expect(await says('bad-option', zeroShot(two), [-100])).toContain('none of the examples has a label');
    expect(await messageOf('bad-option', () => attach(open(zeroShot(two)), [tipAdapter()]))).toContain('call prepare');
    const [method] = await prepare(open(zeroShot(two)), [tipAdapter()], { data: [examples([0, 1])], executor });
    const pairs = open(imageText());
    const inputs = { pixels: picture(pairs, 1), ids: tokens([0, 5, 1, 9]) };
    expect(await messageOf('bad-option', () => attach(pairs, [method!]).model.outputs(inputs))).toContain(
      'imageText: a method adds logits of classes',
    );
    const three = open(zeroShot(ofTexts([0, 1, 9], [0, 2, 9], [0, 3, 9])));
    expect(
      await messageOf('bad-shape', () => attach(three, [method!]).model.outputs({ pixels: picture(three) })),
    ).toContain('its cache is of 2 classes');
  });
});
