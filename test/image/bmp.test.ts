import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeImage, decodeWhole } from '../../src/image/decode.js';
import { IMAGENET_TRANSFORM } from '../../src/image/transform.js';
import { LastlayerError } from '../../src/util/errors.js';
import { temporaryFolder } from '../support/files.js';
import { describeWithPython, runPython } from '../support/python.js';

const folder = await temporaryFolder();

/** Five colours and two rows: no row of any depth ends at a multiple of four bytes but that of 32 bits. */
const WIDTH = 5;
const COLOURS = ['ff0000', '00ff00', '0000ff', 'ffffff', '000000'];
const ROWS = [
  [0, 1, 2, 3, 4],
  [4, 3, 2, 1, 1],
];

interface Kind {
  bits: number;
  compression?: number;
  /** What stands between header and palette: masks. */
  masks?: number[];
  topDown?: boolean;
  /** 40 (Windows 3), 108 (version 4) or 12 (OS/2). */
  header?: number;
  /** The rows, from the first in the file; by default those of {@link ROWS}, each pixel in `bits`. */
  data?: Buffer;
  /** A pixel's value by its colour; by default the colour's index. */
  pixel?: (hex: string) => number;
}

const bgr = (hex: string) => parseInt(hex, 16);
const rgb565 = (hex: string) => ((bgr(hex) >> 8) & 0xf800) | ((bgr(hex) >> 5) & 0x07e0) | ((bgr(hex) >> 3) & 0x001f);
const rgb555 = (hex: string) => ((bgr(hex) >> 9) & 0x7c00) | ((bgr(hex) >> 6) & 0x03e0) | ((bgr(hex) >> 3) & 0x001f);
const MASKS = [0xff0000, 0xff00, 0xff];

const KINDS: [string, Kind][] = [
  ['4 bits', { bits: 4 }],
  ['8 bits', { bits: 8 }],
  ['8 bits, from the top', { bits: 8, topDown: true }],
  ['8 bits of OS/2', { bits: 8, header: 12 }],
  // Runs and literal pixels, ends of lines, the end. (Pillow loses the last of an odd number of literal pixels of 4 bits.)
  [
    '4 bits, run lengths',
    {
      bits: 4,
      compression: 2,
      data: Buffer.from('0243 0120 0211 0000 0004 0123 0140 0000 0001'.replaceAll(' ', ''), 'hex'),
    },
  ],
  [
    '8 bits, run lengths',
    {
      bits: 8,
      compression: 1,
      data: Buffer.from('0003 040302 00 0201 0000 0005 0001020304 00 0000 0001'.replaceAll(' ', ''), 'hex'),
    },
  ],
  ['16 bits', { bits: 16, pixel: rgb555 }],
  ['16 bits, with masks', { bits: 16, compression: 3, masks: [0xf800, 0x07e0, 0x001f], pixel: rgb565 }],
  ['24 bits', { bits: 24, pixel: bgr }],
  ['24 bits, from the top', { bits: 24, topDown: true, pixel: bgr }],
  ['32 bits', { bits: 32, pixel: bgr }],
  ['32 bits, with masks', { bits: 32, compression: 3, masks: MASKS, pixel: bgr }],
  [
    '32 bits, opaque',
    { bits: 32, compression: 3, header: 108, masks: [...MASKS, 0xff000000], pixel: (hex) => 0xff000000 + bgr(hex) },
  ],
];

function bmp({ bits, compression = 0, masks = [], topDown = false, header = 40, data, pixel }: Kind): Buffer {
  const valueOf = pixel ?? ((hex: string) => COLOURS.indexOf(hex));
  const rows = (topDown ? ROWS : ROWS.toReversed()).map((row) => {
    const text = row
      .map((index) =>
        valueOf(COLOURS[index] ?? '')
          .toString(2)
          .padStart(bits, '0'),
      )
      .join('');
    // Indices fill a byte from its high bits; larger values begin with their low byte.
    const bytes = text.match(/.{1,8}/g)?.map((byte) => parseInt(byte.padEnd(8, '0'), 2)) ?? [];
    const size = bits / 8;
    const ordered = bits > 8 ? row.flatMap((_, i) => bytes.slice(i * size, (i + 1) * size).reverse()) : bytes;
    return Buffer.concat([Buffer.from(ordered), Buffer.alloc(-ordered.length & 3)]);
  });
  const content = data ?? Buffer.concat(rows);
  const colour = (hex: string) => [...Buffer.from(hex, 'hex').reverse(), ...(header === 12 ? [] : [0])];
  const palette = bits > 8 ? [] : Array.from({ length: 2 ** bits }, (_, i) => colour(COLOURS[i] ?? '000000')).flat();
  const info = Buffer.alloc(Math.max(header, 40 + 4 * masks.length));
  info.writeUInt32LE(header);
  if (header === 12) [WIDTH, ROWS.length, 1, bits].forEach((value, i) => info.writeUInt16LE(value, 4 + 2 * i));
  else {
    info.writeInt32LE(WIDTH, 4);
    info.writeInt32LE(topDown ? -ROWS.length : ROWS.length, 8);
    [1, bits, compression].forEach((value, i) => info.writeUInt16LE(value, 12 + 2 * i));
    info.writeUInt32LE(content.length, 20);
    masks.forEach((mask, i) => info.writeUInt32LE(mask, 40 + 4 * i));
  }
  const before = Buffer.concat([header === 12 ? info.subarray(0, 12) : info, Buffer.from(palette)]);
  const start = Buffer.alloc(14);
  start.write('BM');
  start.writeUInt32LE(14 + before.length + content.length, 2);
  start.writeUInt32LE(14 + before.length, 10);
  return Buffer.concat([start, before, content]);
}

async function pixelsOf(bytes: Uint8Array): Promise<string[]> {
  const { data } = await decodeWhole(bytes, '#ffffff');
  return Buffer.from(data).toString('hex').match(/.{6}/g) ?? [];
}

const DRAWN = ROWS.flat().map((index) => COLOURS[index]);

it.each(KINDS)('a BMP of %s is read', async (_, kind) => {
  expect(await pixelsOf(bmp(kind))).toEqual(DRAWN);
});

it('a BMP of 1 bit is read', async () => {
  const kind = { bits: 1, data: Buffer.from('5800000090000000', 'hex') };
  const [a, b] = COLOURS;
  expect(await pixelsOf(bmp(kind))).toEqual([b, a, a, b, a, a, b, a, b, b]);
});

it('a BMP with transparency is put on the background', async () => {
  const kind = { bits: 32, compression: 3, header: 108, masks: [...MASKS, 0xff000000], pixel: bgr };
  expect(new Set(await pixelsOf(bmp(kind)))).toEqual(new Set(['ffffff']));
});

it('a BMP that is damaged, or claims much, is refused with a reason, and the next one is read', async () => {
  const good = bmp({ bits: 24, pixel: bgr });
  const claims = (width: number, height: number) => {
    const bytes = Buffer.from(good);
    bytes.writeInt32LE(width, 18);
    bytes.writeInt32LE(height, 22);
    return bytes;
  };
  for (const [bytes, reason] of [
    [good.subarray(0, 60), /the BMP is damaged/],
    [good.subarray(0, 30), /the BMP is damaged/],
    [claims(3000, 3000), /the BMP is damaged/],
    [claims(0, 5), /claims to have 0 × 5 pixels/],
    [claims(20_000, 20_000), /its 20000 × 20000 pixels are more than the 268 million/],
  ] as const) {
    const decoded = decodeImage(bytes, IMAGENET_TRANSFORM);
    await expect(decoded).rejects.toThrow(LastlayerError);
    await expect(decoded).rejects.toThrow(reason);
  }
  expect(await pixelsOf(good)).toEqual(DRAWN);
});

describeWithPython('with Pillow', () => {
  it('every kind of BMP has the same pixels', async () => {
    await Promise.all(KINDS.map(([, kind], i) => writeFile(join(folder, `${i}.bmp`), bmp(kind))));
    const program = `import json
from PIL import Image
print(json.dumps([Image.open(f'{i}.bmp').convert('RGB').tobytes().hex() for i in range(${KINDS.length})]))`;
    expect(await runPython(program, folder)).toEqual(KINDS.map(() => DRAWN.join('')));
  });
});
