import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { ROOT } from './files.js';

const FOLDER = join(ROOT, 'test', 'fixtures', 'heic');

/** The side of a tile in the fixtures. */
export const TILE = 64;

/** A HEIC of `npm run draw-heic`: a tile of an example picture in 8 bits, the one to the right of it, or the first in 10 bits. */
export async function tile(name: 'left' | 'right' | 'deep'): Promise<Buffer> {
  return readFile(join(FOLDER, `${name}.heic`));
}

/** The pixels [64, 64, 3] of a fixture, as libheif's heif-convert decodes them. */
export async function pixelsOf(name: 'left' | 'right' | 'deep'): Promise<Buffer> {
  return sharp(join(FOLDER, `${name}.png`))
    .raw()
    .toBuffer();
}

interface Assembly {
  /** Properties that turn the picture: irot in quarters counter-clockwise, imir about a vertical axis (0: top to bottom, 1: left to right). */
  irot?: number;
  imir?: number;
  /** An EXIF orientation, in an item of its own. */
  orientation?: number;
  /** What the header claims for the size of the whole. */
  width?: number;
  height?: number;
}

/**
 * A HEIC as an iPhone writes it: tiles side by side in a grid, which is the primary picture. The tiles come first, and are
 * hidden; a picture that is not the primary one, the last tile, comes before the grid.
 * @param tiles fixtures of the same depth
 */
export function gridOf(tiles: readonly Buffer[], assembly: Assembly = {}): Buffer {
  const { irot, imir, orientation, width = TILE * tiles.length, height = TILE } = assembly;
  const data = tiles.map((bytes) => contentOf(bytes, 'mdat'));
  const last = Buffer.concat(data.slice(-1));
  const other = tiles.length + 1;
  const grid = tiles.length + 2;
  const items = [
    ...data.map((content, i) => ({
      id: i + 1,
      type: 'hvc1',
      hidden: true,
      content,
      properties: [1 + 2 * i, 2 + 2 * i],
    })),
    {
      id: other,
      type: 'hvc1',
      hidden: false,
      content: last,
      properties: [2 * tiles.length - 1, 2 * tiles.length],
    },
    {
      id: grid,
      type: 'grid',
      hidden: false,
      content: Buffer.concat([Buffer.from([0, 1, 0, tiles.length - 1]), u32(width), u32(height)]),
      properties: [2 * tiles.length + 1, 2 * tiles.length + 2, 2 * tiles.length + 3],
    },
  ];
  if (orientation !== undefined) {
    items.push({
      id: grid + 1,
      type: 'Exif',
      hidden: false,
      content: Buffer.concat([u32(0), exif(orientation)]),
      properties: [],
    });
  }
  const properties = [
    ...tiles.flatMap((bytes) => [box('hvcC', contentOf(bytes, 'hvcC')), box('ispe', u32(0), u32(TILE), u32(TILE))]),
    box('ispe', u32(0), u32(width), u32(height)),
    // A turn by nothing, and no mirror, take the place of those that are not wanted.
    box('irot', Buffer.from([irot ?? 0])),
    imir === undefined ? box('free') : box('imir', Buffer.from([imir])),
  ];
  const associations = items.map(({ id, properties }) =>
    Buffer.concat([u16(id), Buffer.from([properties.length, ...properties.map((index) => 0x80 | index)])]),
  );
  const references = [box('dimg', u16(grid), u16(tiles.length), ...data.map((_, i) => u16(i + 1)))];
  if (orientation !== undefined) references.push(box('cdsc', u16(grid + 1), u16(1), u16(grid)));
  const ftyp = box('ftyp', Buffer.from('heic\0\0\0\0mif1heic'));
  const meta = (start: number) => {
    let at = start;
    const places = items.map(({ id, content }) => {
      const place = Buffer.concat([u16(id), u16(0), u16(1), u32(at), u32(content.length)]);
      at += content.length;
      return place;
    });
    return box(
      'meta',
      u32(0),
      box('hdlr', u32(0), u32(0), Buffer.from('pict'), Buffer.alloc(13)),
      box('pitm', u32(0), u16(grid)),
      box('iloc', u32(0), Buffer.from([0x44, 0]), u16(items.length), ...places),
      box(
        'iinf',
        u32(0),
        u16(items.length),
        ...items.map(({ id, type, hidden }) =>
          box('infe', u32(0x02000000 + Number(hidden)), u16(id), u16(0), Buffer.from(`${type}\0`)),
        ),
      ),
      box('iref', u32(0), ...references),
      box('iprp', box('ipco', ...properties), box('ipma', u32(0), u32(items.length), ...associations)),
    );
  };
  const start = ftyp.length + meta(0).length + 8;
  return Buffer.concat([ftyp, meta(start), box('mdat', ...items.map(({ content }) => content))]);
}

/** The TIFF in Exif, with an orientation alone. */
export function exif(orientation: number): Buffer {
  const tiff = Buffer.from('MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0', 'latin1');
  tiff.writeUInt16BE(orientation, 18);
  return tiff;
}

/** A box of ISO/IEC 14496-12. */
function box(type: string, ...content: Buffer[]): Buffer {
  const whole = Buffer.concat(content);
  return Buffer.concat([u32(8 + whole.length), Buffer.from(type), whole]);
}

/** The content of the only box of a type. */
function contentOf(bytes: Buffer, type: string): Buffer {
  const at = bytes.indexOf(type);
  return bytes.subarray(at + 4, at - 4 + bytes.readUInt32BE(at - 4));
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u16(value: number): Buffer {
  return u32(value).subarray(2);
}
