/** How close the embeddings are to those that the model in float32 gives of torchvision's own pixels. */
import { readFile } from 'node:fs/promises';
import { loadBackbone } from '../../src/backbone/load.js';
import { decodeImage } from '../../src/image/decode.js';
import { LOWEST_COSINE, MEAN_COSINE } from './setting.js';

const [model = '', reference = '', list = '', pixelsFile = ''] = process.argv.slice(2);
const backbone = await loadBackbone({ model });
const exact = await loadBackbone({ model: reference });
const paths = JSON.parse(await readFile(list, 'utf8')) as string[];
const pixels = await readFile(pixelsFile);
const size = 3 * backbone.transform.crop ** 2;
const cosines: number[] = [];
for (const [i, path] of paths.entries()) {
  const own = await backbone.run((await decodeImage(await readFile(path), backbone.transform)).pixels);
  const theirs = await exact.run(pixels.subarray(i * size, (i + 1) * size));
  cosines.push(cosine(own.embedding, theirs.embedding));
}
console.log(
  JSON.stringify({
    [MEAN_COSINE]: cosines.reduce((sum, value) => sum + value) / cosines.length,
    [LOWEST_COSINE]: Math.min(...cosines),
  }),
);

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
