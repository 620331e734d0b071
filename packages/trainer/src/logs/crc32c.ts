/** Remainders of all bytes, by the reflected polynomial 0x82F63B78. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0x82f63b78 : rest >>> 1;
  return rest;
});

/** CRC-32C (Castagnoli) of bytes: RFC 3720, appendix B.4. https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4 */
export const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffff_ffff) >>> 0;
};

/**
 * The form in which TensorFlow's record files hold one, so that a checksum over checksums stays sound: turned right by 15 bits, plus 0xA282EAD8.
 * https://www.tensorflow.org/tutorials/load_data/tfrecord
 */
export const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
