import { memoryFiles } from '@peftjs/io';
import { messageOf } from '@peftjs/tensor/testing';
import { encode } from 'fast-png';
import { describe, expect, test } from 'vitest';
import { decodeImage, type ImageProcessor, loadImageProcessor, type Picture, resize } from '../src/index.ts';

const processorOf = (config: object): Promise<ImageProcessor> =>
  loadImageProcessor(
    memoryFiles(new Map([['preprocessor_config.json', new TextEncoder().encode(JSON.stringify(config))]])),
  );

const picture = (width: number, height: number, channels: Picture['channels'] = 3): Picture => ({
  width,
  height,
  channels,
  data: Uint8Array.from({ length: width * height * channels }, (_, i) => (i * 37) % 256),
});

describe('resizing', () => {
  test('a picture of its own size stays as it is', () => {
    const own = picture(5, 4);
    expect(resize(own, 5, 4, 'bicubic')).toBe(own);
  });

  test.each(['nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos'] as const)(
    'one colour stays it by %s',
    (how) => {
      const data = new Uint8Array(6 * 7 * 3).fill(201);
      for (const [width, height] of [
        [3, 2],
        [13, 20],
        [6, 9],
      ] as const) {
        const out = resize({ width: 6, height: 7, channels: 3, data }, width, height, how);
        expect([...new Set(out.data)]).toEqual([201]);
        expect(out.data).toHaveLength(width * height * 3);
      }
    },
  );

  test('by box to half is the mean of four', () => {
    const data = Uint8Array.of(10, 20, 30, 40, 50, 60, 70, 80);
    expect([...resize({ width: 4, height: 2, channels: 1, data }, 2, 1, 'box').data]).toEqual([35, 55]);
  });
});

describe('files', () => {
  test.each([1, 2, 3, 4] as const)('a PNG of %d channels is read as it was written', async (channels) => {
    const own = picture(5, 3, channels);
    expect(await decodeImage(encode({ ...own, depth: 8 }))).toEqual(own);
  });

  test('of one bit a value is black or white', async () => {
    const bits = encode({
      width: 10,
      height: 2,
      channels: 1,
      depth: 1,
      data: Uint8Array.of(0b10100000, 0b01000000, 0, 0b11000000),
    });
    const { data, channels } = await decodeImage(bits);
    expect(channels).toBe(1);
    expect([...data].map((v) => v / 255).join('')).toBe('10100000010000000011');
  });

  test('others are refused, and so is what is broken', async () => {
    const refused = (bytes: Uint8Array): Promise<string> => messageOf('bad-data', () => decodeImage(bytes));
    expect(await refused(new TextEncoder().encode('GIF89a'))).toContain('neither a PNG nor a JPEG');
    expect(await refused(new Uint8Array(0))).toContain('neither');
    const png = encode({ ...picture(5, 3), depth: 8 });
    expect(await refused(png.slice(0, 30))).toContain('cannot be decoded');
    expect(await refused(png.slice(0, 12))).toContain('0 pixels');
    const huge = png.slice();
    new DataView(huge.buffer).setUint32(16, 2 ** 30);
    expect(await refused(huge)).toContain('pixels');
    expect(await refused(Uint8Array.of(0xff, 0xd8, 0xff, 0, 1, 2))).toContain('JPEG file');
    expect(
      await refused(encode({ width: 2, height: 1, channels: 1, depth: 16, data: Uint16Array.of(1, 2) })),
    ).toContain('16 bits');
  });
});

describe('processors', () => {
  test('all problems of a file are told', async () => {
    const faults = {
      image_processor_type: 'ViTImageProcessor',
      size: { height: 0 },
      image_std: [0, 1, 1],
      crop_size: 'x',
    };
    expect(await messageOf('bad-config', () => processorOf(faults))).toMatch(
      /size: [\s\S]*crop_size: [\s\S]*image_std/,
    );
    expect(await messageOf('bad-config', () => processorOf({ image_processor_type: 'DonutImageProcessor' }))).toContain(
      'there are ViT, DeiT, Beit, Bit, CLIP, Siglip',
    );
    expect(
      await messageOf('bad-config', () => processorOf({ image_processor_type: 'ViTImageProcessor', do_pad: true })),
    ).toContain('do_pad');
    expect(await messageOf('file-missing', () => loadImageProcessor(memoryFiles(new Map())))).toContain(
      'preprocessor_config.json',
    );
  });

  test('a picture whose values do not fit is refused, and one of other channels than the means', async () => {
    const processor = await processorOf({ image_processor_type: 'ViTImageProcessor', size: 4 });
    expect(await messageOf('bad-data', () => processor.process({ ...picture(3, 3), width: 4 }))).toContain('27 values');
    expect(await messageOf('bad-data', () => processor.process(picture(3, 3, 1)))).toContain('do_convert_rgb');
    expect(await messageOf('bad-data', () => processor.process(picture(3, 3, 4)))).toContain('opacity');
  });

  test('names of old and fast classes are known', async () => {
    for (const name of ['ViTFeatureExtractor', 'ViTImageProcessorFast', 'ViTImageProcessor'])
      expect((await processorOf({ image_processor_type: name })).config.size).toEqual({ height: 224, width: 224 });
    expect((await processorOf({ feature_extractor_type: 'CLIPFeatureExtractor', size: 224 })).config).toMatchObject({
      size: { shortest: 224 },
      crop: { height: 224, width: 224 },
      rgb: true,
      resample: 'bicubic',
    });
  });
});
