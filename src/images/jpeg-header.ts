import type { Header } from './render.js';

/** Markers of frame headers that hold a size: baseline, extended sequential and progressive. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2]);

/** The marker under which Exif is kept. */
const APP1 = 0xe1;

/** Markers of segments that may come before the frame header: tables, restart interval, application data, comment. */
function mayPrecede(marker: number): boolean {
  return marker === 0xc4 || (marker >= 0xdb && marker <= 0xef && marker !== APP1) || marker === 0xfe;
}

/**
 * What the frame header of a JPEG says (ITU-T T.81, B.1.1 and B.2.2), which costs a hundredth of opening it.
 * @returns undefined where the decoder itself has to be asked: of another format, of damaged bytes, and of a JPEG with
 *   Exif or XMP, which may turn it
 */
export function headerOfPlainJpeg(bytes: Uint8Array): Header | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 2 || view.getUint16(0) !== 0xffd8) return undefined;
  for (let at = 2; at + 10 <= view.byteLength && view.getUint8(at) === 0xff;) {
    const marker = view.getUint8(at + 1);
    if (FRAMES.has(marker)) {
      const [height, width, channels] = [
        view.getUint16(at + 5),
        view.getUint16(at + 7),
        view.getUint8(at + 9),
      ];
      if (width === 0 || height === 0) return undefined;
      return { format: 'jpeg', width, height, hasAlpha: false, bytes: width * height * channels };
    }
    if (!mayPrecede(marker)) return undefined;
    at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}
