export { decodeImage } from './decode-image.ts';
export type { ImageConfig } from './image-config.ts';
export { type ImageProcessor, imageProcessor, loadImageProcessor, type Pixels } from './image-processor.ts';
export type { Picture } from './picture.ts';
export { type Resample, resize } from './resize.ts';
