import sharp from 'sharp';
import { heatColour, paintHeat } from './heat-map.js';
import { lettering, type Lettering } from './lettering.js';

/** Where a class was seen, to be drawn. */
interface Panel {
  label: string;
  /** 0 … 1 */
  probability: number;
  logit: number;
  /** [rows][columns] */
  shares: readonly (readonly number[])[];
}

interface ExplainedPicture {
  /** RGB bytes of the center crop, [crop, crop, 3]. */
  pixels: Uint8Array;
  crop: number;
  /** Such as the name of the file. */
  title: string;
  /** The leading classes, best first. */
  panels: readonly Panel[];
  /** The share that gets the brightest colour, see `scaleOf`. */
  scale: number;
}

// Pixels.
const SIDE = 448;
const GAP = 24;
const MARGIN = 24;
const HEADER = 44;
const FOOTER = 92;

const [INK, SOFT, PAPER] = ['#1c2128', '#57606a', '#ffffff'];

/**
 * Draws what the backbone sees of a picture, and beside it the same with a heat map for each class, under their labels and
 * probabilities and over the scale of the colours.
 * @returns a PNG. On one machine, the same input always gives the same bytes
 */
export async function drawExplained({ pixels, crop, title, panels, scale }: ExplainedPicture): Promise<Buffer> {
  const { data } = await sharp(pixels, { raw: { width: crop, height: crop, channels: 3 } })
    .resize(SIDE, SIDE, { kernel: 'cubic' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const region = { left: 0, top: 0, width: SIDE, height: SIDE };
  const squares = [
    data,
    ...panels.map(({ shares }) => {
      const painted = Buffer.from(data);
      paintHeat({ data: painted, width: SIDE, height: SIDE, channels: 3 }, { shares, region, scale });
      return painted;
    }),
  ];
  const left = (n: number) => MARGIN + n * (SIDE + GAP);
  const width = left(squares.length) - GAP + MARGIN;
  const height = HEADER + SIDE + FOOTER;
  const decoration = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
      `${colourBar(left(1), width - MARGIN - left(1))}${await texts(title, crop, panels, scale, left, width)}</svg>`,
  );
  return sharp({ create: { width, height, channels: 3, background: PAPER } })
    .composite([
      ...squares.map((input, n) => ({
        input,
        raw: { width: SIDE, height: SIDE, channels: 3 as const },
        left: left(n),
        top: HEADER,
      })),
      { input: decoration, left: 0, top: 0 },
    ])
    .png()
    .toBuffer();
}

function signedLogit(logit: number): string {
  return `${logit < 0 ? '−' : ''}${Math.abs(logit).toFixed(2)}`;
}

/** The base of the line under the pictures, the colours, and the base of the line under them. */
const [UNDER, BAR, BOTTOM] = [HEADER + SIDE + 24, HEADER + SIDE + 40, HEADER + SIDE + 74];
const BAR_HEIGHT = 14;

function colourBar(left: number, width: number): string {
  const stops = Array.from({ length: 33 }, (_, i) => {
    const t = i / 32;
    return `<stop offset="${t}" stop-color="rgb(${heatColour(t).join()})"/>`;
  });
  return (
    `<defs><linearGradient id="heat">${stops.join('')}</linearGradient></defs>` +
    `<rect x="${left}" y="${BAR}" width="${width}" height="${BAR_HEIGHT}" rx="3" fill="url(#heat)"/>`
  );
}

async function texts(
  title: string,
  crop: number,
  panels: readonly Panel[],
  scale: number,
  left: (n: number) => number,
  width: number,
): Promise<string> {
  const end = width - MARGIN;
  const [heading, small] = [
    { y: HEADER - 14, size: 21, colour: INK, bold: true },
    { size: 15, colour: SOFT, width: SIDE },
  ];
  const lines: Lettering[] = [
    { ...heading, text: title, x: left(0), width: SIDE },
    { ...small, text: `what the network sees: ${crop} × ${crop} pixels`, x: left(0), y: UNDER },
    ...panels.flatMap(({ label, probability, logit }, i): Lettering[] => {
      const right = left(i + 1) + SIDE;
      return [
        { ...heading, text: label, x: left(i + 1), width: SIDE - 100 },
        { ...heading, text: `${(100 * probability).toFixed(1)} %`, x: right, anchor: 'end', width: 100 },
        { ...small, text: `logit ${signedLogit(logit)}, the mean of the shares`, x: left(i + 1), y: UNDER },
      ];
    }),
    { ...small, text: '0 or less', x: left(1), y: BOTTOM },
    { ...small, text: 'share of the logit', x: (left(1) + end) / 2, y: BOTTOM, anchor: 'middle' },
    { ...small, text: `${scale} or more`, x: end, y: BOTTOM, anchor: 'end' },
  ];
  return lettering(lines);
}
