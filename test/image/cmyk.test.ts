import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { decodeWhole } from '../../src/image/decode.js';
import { stripes, temporaryFolder } from '../support/files.js';
import { exif } from '../support/heic.js';
import { describeWithPython, runPython } from '../support/python.js';

const folder = await temporaryFolder();
const STRIPES = await stripes(30, 1);

// Made with Pillow 12.3: Image.open(…).convert('RGB').
it.each([
  ['#c04020', [205, 35, 2]],
  ['#2060a0', [28, 108, 234]],
  ['#808080', [102, 104, 103]],
])('a CMYK JPEG of %s has the colour that Pillow gives it', async (background, colour) => {
  const picture = sharp({ create: { width: 16, height: 16, channels: 3, background } });
  const { data } = await decodeWhole(await picture.toColourspace('cmyk').jpeg().toBuffer(), '#ffffff');
  expect([...data.subarray(0, 3)]).toEqual(colour);
});

describeWithPython('with Pillow', () => {
  /** A JPEG with the marker by which Adobe's programs tell their own, or without it, or saying that it holds YCCK. */
  const adobe = (jpeg: Buffer, transform: number | undefined) => {
    const at = jpeg.indexOf('\xff\xee', 0, 'latin1');
    const end = at + 2 + jpeg.readUInt16BE(at + 2);
    if (transform === undefined) return Buffer.concat([jpeg.subarray(0, at), jpeg.subarray(end)]);
    const changed = Buffer.from(jpeg);
    changed[end - 1] = transform;
    return changed;
  };

  const turned = (jpeg: Buffer) => {
    const content = Buffer.concat([Buffer.from('Exif\0\0'), exif(6)]);
    const start = Buffer.from([0xff, 0xe1, 0, content.length + 2]);
    return Buffer.concat([jpeg.subarray(0, 2), start, content, jpeg.subarray(2)]);
  };

  it('the pixels are the same, whatever the marker, the profile and the turn', async () => {
    const picture = () => sharp(STRIPES).toColourspace('cmyk');
    const jpeg = await picture().jpeg().toBuffer();
    const files = {
      'plain.jpg': jpeg,
      'no-marker.jpg': adobe(jpeg, undefined),
      'ycck.jpg': adobe(jpeg, 2),
      'profile.jpg': await picture().withIccProfile('cmyk').jpeg().toBuffer(),
      'turned.jpg': turned(jpeg),
      'progressive.jpg': await picture().jpeg({ progressive: true }).toBuffer(),
      'plain.tiff': await picture().tiff({ compression: 'lzw' }).toBuffer(),
    };
    await Promise.all(Object.entries(files).map(([name, bytes]) => writeFile(join(folder, name), bytes)));
    const program = `import json
from PIL import Image, ImageOps
names = ${JSON.stringify(Object.keys(files))}
pictures = {name: ImageOps.exif_transpose(Image.open(name)) for name in names}
print(json.dumps({name: [picture.mode, picture.convert('RGB').tobytes().hex()] for name, picture in pictures.items()}))`;
    const expected = (await runPython(program, folder)) as Record<string, [string, string]>;
    for (const [name, bytes] of Object.entries(files)) {
      const { data } = await decodeWhole(bytes, '#ffffff');
      expect([name, 'CMYK', Buffer.from(data).toString('hex')]).toEqual([name, ...(expected[name] ?? [])]);
    }
  });
});
