import sharp from 'sharp';
import { background, light, type Habitat } from './background.js';
import type { Random } from '../support/random.js';
import { element, group } from '../support/svg.js';

/** A kind of object. */
export interface Subject {
  /** Draws one around the origin, about 100 units from end to end. */
  draw: (random: Random) => string;
  habitat: Habitat;
}

/** Draws a subject somewhere in a scene and writes it as a JPEG, slightly blurred and grainy like a photograph. */
export async function drawPicture(subject: Subject, random: Random, file: string): Promise<void> {
  const [width, height] = random.pick<[number, number]>([
    [288, 288],
    [320, 240],
    [240, 320],
    [340, 256],
  ]);
  const [x, y] = [width * random.between(0.38, 0.62), height * random.between(0.38, 0.62)];
  const scale = (random.between(0.6, 1) * Math.min(width, height)) / 100;
  const drawn = group(`translate(${x} ${y}) rotate(${random.between(-40, 40)}) scale(${scale})`, subject.draw(random));
  const fall = `translate(${random.between(-8, 8)} ${random.between(3, 10)})`;
  const svg = element(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', width, height },
    SHADOW,
    background(random, subject.habitat, width, height),
    element('g', { filter: 'url(#shadow)', opacity: 0.35 }, group(fall, drawn)),
    drawn,
    light(random, width, height),
  );
  await sharp(Buffer.from(svg))
    .flatten()
    .blur(random.between(0.3, 1))
    .composite([{ input: grain(random, width, height), raw: { width, height, channels: 3 }, blend: 'soft-light' }])
    .jpeg({ quality: 70, mozjpeg: true })
    .toFile(file);
}

/** Makes what it is applied to black and soft. */
const SHADOW = element(
  'filter',
  { id: 'shadow', x: '-20%', y: '-20%', width: '140%', height: '140%' },
  element('feColorMatrix', { values: '0 0 0 0 0  0 0 0 0 0  0 0 0 0 0  0 0 0 1 0' }),
  element('feGaussianBlur', { stdDeviation: 3 }),
);

/** RGB pixels of random greys around the middle. */
function grain(random: Random, width: number, height: number): Buffer {
  const strength = random.between(15, 45);
  const pixels = Buffer.alloc(width * height * 3);
  for (let i = 0; i < pixels.length; i += 3) pixels.fill(128 + random.between(-strength, strength), i, i + 3);
  return pixels;
}
