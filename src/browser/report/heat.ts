import type { HeatData, PageData } from '../../report/page-data.js';
import { seenRegion } from '../../image/transform.js';
import { make } from '../dom.js';
import { classButtons, drawHeat, markClass } from '../heat.js';

/** A switch shows where the classes were seen, in all galleries that have maps. */
export function showHeat(heat: PageData['heat']): void {
  if (!heat) return;
  const switches = [...document.querySelectorAll<HTMLInputElement>('.show-heat')];
  const buttons = [...document.querySelectorAll<HTMLElement>('[data-heat]')];
  for (const each of switches) {
    each.addEventListener('change', () => {
      for (const other of switches) other.checked = each.checked;
      document.querySelectorAll<HTMLElement>('.colours').forEach((colours) => {
        colours.hidden = !each.checked;
      });
      for (const button of buttons) void toggle(button, each.checked, heat.seen);
    });
  }
}

async function toggle(button: HTMLElement, isOn: boolean, seen: NonNullable<PageData['heat']>['seen']): Promise<void> {
  const img = button.querySelector('img')!;
  const known = button.querySelector('canvas');
  img.hidden = isOn;
  if (known) {
    known.hidden = !isOn;
    (button.nextElementSibling as HTMLElement).hidden = !isOn;
    return;
  }
  if (!isOn) return;
  const maps = JSON.parse(button.dataset.heat ?? '[]') as HeatData[];
  const canvas = make('canvas');
  canvas.setAttribute('role', 'img');
  const show = (n: number): void => {
    const { label, rows, bytes } = maps[n]!;
    const values = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
    const columns = values.length / rows;
    const shares = Array.from({ length: rows }, (_, y) => [...values.subarray(y * columns, (y + 1) * columns)]);
    drawHeat(canvas, img, (size) => ({ shares, scale: 255, region: seenRegion(size, seen) }));
    canvas.setAttribute('aria-label', `Where ${label} was seen: ${img.alt}`);
    markClass(classes, n);
  };
  const labels = maps.map(({ label }) => label);
  const classes = classButtons(labels, show);
  button.append(canvas);
  button.after(classes);
  // A gallery loads its pictures when they come into view.
  img.loading = 'eager';
  await img.decode();
  if (maps.length > 0) show(0);
}
