/** `noRopeLayers` as `config.json` has it: `no_rope_layers`. */
export const jsonName = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
