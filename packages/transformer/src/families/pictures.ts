import { beit } from './beit.ts';
import { clip } from './clip.ts';
import { dinov2 } from './dinov2.ts';
import type { Family } from './family.ts';
import { siglip } from './siglip.ts';
import { swin } from './swin.ts';
import { deit, vit } from './vit.ts';

/** All models of pictures, and of pictures beside texts. */
export const pictures: readonly Family[] = [
  vit,
  deit,
  dinov2,
  beit,
  swin,
  clip,
  siglip,
] as unknown as readonly Family[];
