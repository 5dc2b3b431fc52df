import type { Header } from './render.js';

/** Markers of frame headers that hold a size: baseline, extended sequential and progressive. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2]);

/** The marker of the segment that holds Exif or XMP. */
const APP1 = 0xe1;

/**
 * Reads the frame header of a JPEG (ITU-T T.81, B.1.1 and B.2.2) and the orientation in its Exif, which costs a hundredth of opening
 * it with sharp.
 * @returns undefined if sharp has to read it: another format, or bytes that are damaged or unusual
 */
export function headerOfJpeg(bytes: Uint8Array): Header | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 2 || view.getUint16(0) !== 0xffd8) return undefined;
  let orientation: number | undefined;
  for (let at = 2; at + 10 <= view.byteLength && view.getUint8(at) === 0xff;) {
    const marker = view.getUint8(at + 1);
    const length = view.getUint16(at + 2);
    if (FRAMES.has(marker)) {
      const [height, width, components] = [view.getUint16(at + 5), view.getUint16(at + 7), view.getUint8(at + 9)];
      if (width === 0 || height === 0) return undefined;
      const size = (orientation ?? 1) < 5 ? { width, height } : { width: height, height: width };
      return { ...size, hasAlpha: false, isCmyk: components === 4, bytes: width * height * components };
    }
    if (!mayPrecede(marker)) return undefined;
    if (marker === APP1) {
      if (length < 2 || at + 2 + length > view.byteLength) return undefined;
      const segment = Buffer.from(bytes.buffer, bytes.byteOffset + at + 4, length - 2);
      if (!XMP.some((name) => segment.subarray(0, name.length).equals(name))) {
        if (orientation !== undefined) return undefined;
        orientation = orientationOf(segment);
        if (orientation === undefined) return undefined;
      }
    }
    at += 2 + length;
  }
  return undefined;
}

/** Segments that may come before the frame header: tables, restart interval, application data, comment. */
function mayPrecede(marker: number): boolean {
  return marker === 0xc4 || (marker >= 0xdb && marker <= 0xef) || marker === 0xfe;
}

/** How segments of XMP begin, which does not turn a picture. */
const XMP = ['http://ns.adobe.com/xap/1.0/\0', 'http://ns.adobe.com/xmp/extension/\0'].map((name) => Buffer.from(name));

/** How a segment of Exif begins, by the order of its bytes: the name, then a TIFF header. */
const BIG_ENDIAN = Buffer.from('Exif\0\0MM\0*');
const LITTLE_ENDIAN = Buffer.from('Exif\0\0II*\0');

const TIFF = 6;
const [ENTRY, ORIENTATION, SHORT] = [12, 0x112, 3];

/** The orientation in a segment of Exif (Exif 2.32, 4.6.4), 1 … 8; 1 if it has none; undefined if the segment is anything else. */
function orientationOf(segment: Buffer): number | undefined {
  const isLittle = segment.subarray(0, LITTLE_ENDIAN.length).equals(LITTLE_ENDIAN);
  if (!isLittle && !segment.subarray(0, BIG_ENDIAN.length).equals(BIG_ENDIAN)) return undefined;
  const view = new DataView(segment.buffer, segment.byteOffset + TIFF, segment.length - TIFF);
  if (view.byteLength < 8) return undefined;
  const directory = view.getUint32(4, isLittle);
  if (directory < 8 || directory + 2 > view.byteLength) return undefined;
  const end = directory + 2 + ENTRY * view.getUint16(directory, isLittle);
  if (end > view.byteLength) return undefined;
  let orientation: number | undefined;
  for (let at = directory + 2; at < end; at += ENTRY) {
    if (view.getUint16(at, isLittle) !== ORIENTATION) continue;
    const isShort = view.getUint16(at + 2, isLittle) === SHORT && view.getUint32(at + 4, isLittle) === 1;
    const value = view.getUint16(at + 8, isLittle);
    if (orientation !== undefined || !isShort || value < 1 || value > 8) return undefined;
    orientation = value;
  }
  return orientation ?? 1;
}
