export { baseVitDir, unseenPicturesDir } from './dirs.ts';
