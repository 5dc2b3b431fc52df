import { heatColour, paintHeat, type Heat } from '../image/heat-map.js';
import { make } from './dom.js';

/** The longer side of a drawn picture, in pixels. */
const LONGEST = 640;

/**
 * Draws a picture with a heat map into a canvas.
 * @param heatOf gives the map for a picture of a size, in its pixels
 */
export function drawHeat(
  canvas: HTMLCanvasElement,
  img: HTMLImageElement,
  heatOf: (size: { width: number; height: number }) => Heat,
): void {
  const { naturalWidth, naturalHeight } = img;
  const shrink = Math.min(1, LONGEST / Math.max(naturalWidth, naturalHeight));
  const width = Math.max(1, Math.round(naturalWidth * shrink));
  const height = Math.max(1, Math.round(naturalHeight * shrink));
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d', { willReadFrequently: true })!;
  context.drawImage(img, 0, 0, width, height);
  const picture = context.getImageData(0, 0, width, height);
  paintHeat({ data: picture.data, width, height, channels: 4 }, heatOf({ width, height }));
  context.putImageData(picture, 0, 0);
}

/** Makes a button for each class whose heat map can be shown. @param show called with the number of the one that is clicked */
export function classButtons(labels: readonly string[], show: (n: number) => void): HTMLElement {
  const classes = make('div', undefined, 'classes');
  classes.setAttribute('role', 'group');
  classes.setAttribute('aria-label', 'Class to show');
  labels.forEach((label, n) => {
    const button = make('button', label);
    button.type = 'button';
    button.addEventListener('click', () => {
      show(n);
    });
    classes.append(button);
  });
  return classes;
}

/** Marks the button of the class that is shown. */
export function markClass(classes: Element, shown: number): void {
  classes.querySelectorAll('button').forEach((button, n) => {
    button.setAttribute('aria-pressed', String(n === shown));
  });
}

/** The colours of all shares from 0 to the scale, from left to right. */
export function drawColourBar(canvas: HTMLCanvasElement): void {
  canvas.width = 256;
  canvas.height = 1;
  const context = canvas.getContext('2d')!;
  for (let x = 0; x < canvas.width; x++) {
    context.fillStyle = `rgb(${heatColour(x / (canvas.width - 1)).join()})`;
    context.fillRect(x, 0, 1, 1);
  }
}
