import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { decodeImage } from '../../src/image/decode.js';
import { sharp } from '../../src/image/render.js';
import { IMAGENET_TRANSFORM } from '../../src/image/transform.js';
import { LastlayerError } from '../../src/util/errors.js';
import { stripes, temporaryFolder } from '../support/files.js';

const folder = await temporaryFolder();
const transform = { ...IMAGENET_TRANSFORM, resize: 16, crop: 16 };
const white = Array<number>(3 * 16 * 16).fill(255);

function svg(content: string, before = ''): Buffer {
  const names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';
  return Buffer.from(`${before}<svg ${names} width="16" height="16">${content}</svg>`);
}

describe('an SVG', () => {
  it('has nothing fetched for it, neither from the network nor from the disk, and runs no script', async () => {
    const asked: string[] = [];
    const server = createServer(({ url = '' }, response) => {
      asked.push(url);
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const red = join(folder, 'red.png');
      await sharp({ create: { width: 16, height: 16, channels: 3, background: 'red' } }).toFile(red);
      const address = `http://127.0.0.1:${port}`;
      for (const from of [address, red, `file://${red}`]) {
        const image = `<image href="${from}" xlink:href="${from}" width="16" height="16"/>`;
        for (const hostile of [
          svg(image),
          svg(`<style>@import url("${from}"); rect { fill: url(${from}#a) }</style>`),
          svg(`<script href="${from}"/><script>fetch("${from}")</script>`),
          svg(`<use href="${from}#a"/>`, `<!DOCTYPE svg [<!ENTITY a SYSTEM "${from}">]>`),
          svg('', `<?xml-stylesheet href="${from}"?><!DOCTYPE svg SYSTEM "${from}">`),
        ]) {
          const { pixels } = await decodeImage(hostile, transform);
          expect([...pixels]).toEqual(white);
        }
        const entity = svg('<text>&a;</text>', `<!DOCTYPE svg [<!ENTITY a SYSTEM "${from}">]>`);
        await expect(decodeImage(entity, transform)).rejects.toThrow(/Entity 'a' not defined/);
      }
      expect(asked).toEqual([]);
    } finally {
      server.close();
    }
  });

  it('that would take forever is given up, and the next one is not', async () => {
    const levels = Array.from(
      { length: 24 },
      (_, i) => `<g id="a${i + 1}"><use href="#a${i}"/><use href="#a${i}"/></g>`,
    );
    // 2¹⁶ rectangles each, which libvips cannot be stopped in.
    const uses = Array.from({ length: 200 }, () => '<use href="#a16"/>').join('');
    const endless = svg(`<defs><rect id="a0" width="16" height="16"/>${levels.join('')}</defs>${uses}`);
    const [given, up] = await Promise.allSettled([
      decodeImage(endless, transform, { seconds: 1 }),
      decodeImage(svg('<rect width="16" height="16" fill="white"/>'), transform),
    ]);
    expect(given).toMatchObject({ status: 'rejected', reason: expect.any(LastlayerError) as unknown });
    expect(String((given as PromiseRejectedResult).reason)).toContain('longer than 1 s');
    expect(up.status).toBe('fulfilled');
  });

  it('whose entities grow without bound is refused', async () => {
    const entities = Array.from({ length: 40 }, (_, i) => `<!ENTITY a${i + 1} "&a${i};&a${i};">`).join('');
    const laughs = svg('<text>&a40;</text>', `<!DOCTYPE svg [<!ENTITY a0 "ha">${entities}]>`);
    await expect(decodeImage(laughs, transform)).rejects.toThrow(LastlayerError);
  });
});

describe('a picture that claims much', () => {
  it('is refused by its size alone where it has more pixels, or more bytes a pixel, than are taken', async () => {
    const png = await stripes(0, 1);
    png.writeUInt32BE(65_535, 16);
    png.writeUInt32BE(65_535, 20);
    await expect(decodeImage(png, transform)).rejects.toThrow(/more pixels than the 268 million|libpng/);
    await expect(decodeImage(tiff(16_000, 16_000, 5), transform)).rejects.toThrow(
      /take 2\.4 GiB decoded; the limit is 2 GiB/,
    );
  });

  it('may have sides of 65,500 pixels', async () => {
    const long = await sharp({ create: { width: 65_500, height: 2, channels: 3, background: 'white' } })
      .jpeg()
      .toBuffer();
    expect([...(await decodeImage(long, transform)).pixels]).toEqual(white);
  });

  it('is decoded in another process where it is large, to the same pixels', async () => {
    const bytes = await red(9500);
    const { most, results } = await inThisProcess(() => [decodeImage(bytes, transform)]);
    expect(most).toBe(0);
    expect([...(results[0]?.pixels.subarray(0, 6) ?? [])]).toEqual([254, 0, 0, 254, 0, 0]);
  });

  it('waits for others where all of them would take more than 1 GiB, decoded', async () => {
    const [bytes, size] = [await red(8500), 3 * 8500 ** 2];
    const { most, results } = await inThisProcess(() => Array.from({ length: 7 }, () => decodeImage(bytes, transform)));
    expect(most * size).toBeLessThanOrEqual(2 ** 30);
    // It is a bound, not one after another.
    expect(most).toBeGreaterThan(1);
    expect(new Set(results.map(({ pixels }) => pixels.join()))).toHaveProperty('size', 1);
  });
});

/** A JPEG, of which the header is read without sharp. */
async function red(side: number): Promise<Buffer> {
  return sharp({ create: { width: side, height: side, channels: 3, background: 'red' } })
    .jpeg()
    .toBuffer();
}

/** How many pictures this process has at hand at most, decoding or waiting for a thread, by sharp's own count. */
async function inThisProcess<T>(work: () => Promise<T>[]): Promise<{ most: number; results: T[] }> {
  let most = 0;
  const count = () => {
    // A thread that takes a picture between the two counts has it counted twice, so of more counts than there are pictures
    // the least is right.
    const counts = Array.from({ length: 10 }, () => sharp.counters());
    most = Math.max(most, Math.min(...counts.map(({ queue, process }) => queue + process)));
  };
  sharp.queue.on('change', count);
  try {
    const results = await Promise.all(work());
    return { most, results };
  } finally {
    sharp.queue.off('change', count);
  }
}

/** A TIFF's header, of 16-bit samples, without its pixels. */
function tiff(width: number, height: number, samples: number): Buffer {
  const tags = [
    [256, width],
    [257, height],
    [258, 16],
    [259, 1],
    [262, 1],
    [273, 8],
    [277, samples],
    [278, height],
    [279, 4],
  ] as const;
  const bytes = Buffer.alloc(8 + 2 + 12 * tags.length + 4);
  bytes.write('II*\0\u0008', 'latin1');
  bytes.writeUInt16LE(tags.length, 8);
  tags.forEach(([tag, value], i) => {
    const at = 10 + 12 * i;
    bytes.writeUInt16LE(tag, at);
    bytes.writeUInt16LE(4, at + 2);
    bytes.writeUInt32LE(1, at + 4);
    bytes.writeUInt32LE(value, at + 8);
  });
  return bytes;
}
