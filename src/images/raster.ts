/** The formats whose decoders do an amount of work that the picture's size bounds, by how their files begin. */
const BEGINNINGS: readonly RegExp[] = [
  /^\xff\xd8\xff/, // JPEG
  /^\x89PNG\r\n/,
  /^GIF8[79]a/,
  /^RIFF[^]{4}WEBP/,
  /^(?:II[*+]\0|MM\0[*+])/, // TIFF
  /^[^]{4}ftyp/, // AVIF, HEIC
];

/** Whether the bytes are of one of the usual formats of pixels; what is not may be SVG, which is a program rather. */
export function isRaster(bytes: Uint8Array): boolean {
  const beginning = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  return BEGINNINGS.some((pattern) => pattern.test(beginning));
}
