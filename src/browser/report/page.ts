/** Makes the report interactive: pictures can be enlarged, cells of the confusion matrix open theirs, points of the maps show theirs. */
import type { ListedPicture, PageData } from '../../report/page-data.js';
import { quantity } from '../../util/format.js';
import { find, make } from '../dom.js';
import { filterPictures } from './filter.js';
import { showHeat } from './heat.js';
import { followSections } from './navigation.js';
import { card, closeOnBackdrop, enlargePictures } from './pictures.js';
import { hintAtScrolling, sortTables } from './tables.js';
import { followThreshold } from './threshold.js';

const { thresholds, labels, pictures, cells, points, heat } = JSON.parse(
  find('pictures', HTMLScriptElement).text,
) as PageData;

const DIRECTIONS: Partial<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

openCells();
enlargePictures();
showHeat(heat);
followThreshold(thresholds);
sortTables();
filterPictures();
hintAtScrolling();
followSections();
document.querySelectorAll<HTMLElement>('.map').forEach(showPoints);
singleOutClasses();

/** A cell of the confusion matrix opens the pictures behind it. */
function openCells(): void {
  const dialog = find('cell', HTMLDialogElement);
  const [title, text, list] = ['h2', 'p', 'ul'].map((name) => dialog.querySelector(name));
  document.querySelectorAll<HTMLElement>('[data-cell]').forEach((button) => {
    button.addEventListener('click', () => {
      const key = button.dataset.cell ?? '';
      const [truth = '', predicted = ''] = key.split(',').map((n) => labels[Number(n)] ?? '');
      const found = (cells[key] ?? []).flatMap((n) => pictures[n] ?? []);
      const total = Number(button.textContent);
      const all = `${quantity(total, 'picture')}.`;
      title!.textContent = `${truth}: predicted ${truth === predicted ? 'correctly' : `as ${predicted}`}`;
      text!.textContent = found.length < total ? `Showing ${found.length} of ${all}` : all;
      list!.replaceChildren(...found.map((picture) => card(picture, labels, make('li'))));
      dialog.showModal();
    });
  });
  closeOnBackdrop(dialog);
}

/** The point that the mouse is on, or the arrow keys moved to, shows its picture. */
function showPoints(map: HTMLElement): void {
  const preview = find('preview', HTMLElement);
  const all = [...map.querySelectorAll<SVGElement>('[data-point]')];
  let current: SVGElement | undefined;

  const show = (point: SVGElement): void => {
    current = point;
    document.querySelector('[data-point].at')?.classList.remove('at');
    point.classList.add('at');
    preview.replaceChildren();
    const picture = pictureOf(point);
    if (picture) card(picture, labels, preview);
  };
  map.addEventListener('pointerover', ({ target }) => {
    const point = target instanceof Element ? target.closest<SVGElement>('[data-point]') : null;
    if (point) show(point);
  });
  map.addEventListener('keydown', (event) => {
    const direction = DIRECTIONS[event.key];
    if (!direction) return;
    event.preventDefault();
    const next = current ? nextPoint(all, current, direction) : all[0];
    if (next) show(next);
  });
}

/** The nearest point in a direction. A distance to the side counts twice. */
function nextPoint(
  all: readonly SVGElement[],
  from: SVGElement,
  [right, down]: readonly [number, number],
): SVGElement | undefined {
  const start = centreOf(from);
  let best: SVGElement | undefined;
  let least = Infinity;
  for (const point of all) {
    const { x, y } = centreOf(point);
    const [dx, dy] = [x - start.x, y - start.y];
    const ahead = dx * right + dy * down;
    const distance = ahead + 2 * Math.abs(dx * down - dy * right);
    if (ahead > 0 && distance < least) [best, least] = [point, distance];
  }
  return best;
}

function centreOf(point: SVGElement): { x: number; y: number } {
  const { x, y, width, height } = point.getBoundingClientRect();
  return { x: x + width / 2, y: y + height / 2 };
}

/** A class in the legend dims the points of all others, until it is pressed again. */
function singleOutClasses(): void {
  const buttons = [...document.querySelectorAll<HTMLElement>('[data-class]')];
  for (const button of buttons) {
    button.addEventListener('click', () => {
      const isPressed = button.getAttribute('aria-pressed') !== 'true';
      for (const other of buttons) other.setAttribute('aria-pressed', String(isPressed && other === button));
      document.querySelectorAll<SVGElement>('[data-point]').forEach((point) => {
        const isOther = pictureOf(point)?.label !== Number(button.dataset.class);
        point.classList.toggle('dim', isPressed && isOther);
      });
    });
  }
}

function pictureOf({ dataset }: SVGElement): ListedPicture | undefined {
  return pictures[points[Number(dataset.point)] ?? -1];
}
