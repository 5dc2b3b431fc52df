import type { ListedPicture } from '../../report/page-data.js';
import { typicalityText } from '../../report/typicality.js';
import { htmlPercent as percent } from '../../util/format.js';
import { find, make } from '../dom.js';

/** Thumbnails that galleries of the page have, by path. */
const inGalleries = new Map(
  [...document.querySelectorAll<HTMLElement>('.enlarge')].map((button) => [
    button.dataset.path,
    button.querySelector('img')?.src,
  ]),
);

/** A picture that can be enlarged, with its labels and its place, added to an element. */
export function card<T extends Element>(
  { uri, name, path, href, label, predicted, p, typicality, unknown }: ListedPicture,
  labels: readonly string[],
  into: T,
): T {
  const truth = labels[label] ?? '';
  const src = uri === '' ? inGalleries.get(path) : uri;
  if (src !== undefined) {
    const img = make('img');
    img.src = src;
    img.alt = `${truth}: ${name}`;
    const button = make('button', undefined, 'enlarge');
    button.type = 'button';
    button.setAttribute('aria-haspopup', 'dialog');
    button.dataset.path = path;
    button.dataset.href = href;
    button.append(img);
    into.append(button);
  }
  into.append(
    make('b', truth),
    label === predicted
      ? make('span', percent(p), 'right')
      : make('span', `predicted ${labels[predicted] ?? ''}, ${percent(p)}`, 'wrong'),
  );
  const typical = typicalityText(typicality, unknown);
  if (typical !== undefined) into.append(make('small', typical, unknown ? 'unlike' : undefined));
  into.append(place(name, href));
  return into;
}

function place(name: string, href: string): HTMLElement {
  if (href === '') return make('span', name, 'path');
  const link = make('a', name, 'path');
  link.href = href;
  return link;
}

/** A thumbnail opens larger, with its path to copy. The browser closes the dialog on Escape, and gives the focus back. */
export function enlargePictures(): void {
  const dialog = find('enlarged', HTMLDialogElement);
  const [title, img, link, copy, status] = ['h2', 'img', '.place', '.copy', '[role=status]'].map((selector) =>
    dialog.querySelector<HTMLElement>(selector),
  );
  let path = '';
  document.addEventListener('click', ({ target }) => {
    const button = target instanceof Element ? target.closest<HTMLElement>('.enlarge') : null;
    const shown = button?.querySelector('img');
    if (!button || !shown) return;
    path = button.dataset.path ?? '';
    const card = button.closest('li, #preview');
    const texts = [...(card?.querySelectorAll('b, .right, .wrong, small') ?? [])].map(({ textContent }) =>
      textContent.trim(),
    );
    const name = make('code', path);
    title!.textContent = texts.join(' · ');
    const canvas = button.querySelector<HTMLCanvasElement>('canvas:not([hidden])');
    (img as HTMLImageElement).src = canvas?.toDataURL() ?? shown.src;
    (img as HTMLImageElement).alt = canvas?.getAttribute('aria-label') ?? shown.alt;
    link!.replaceChildren(name);
    if (button.dataset.href) {
      const open = make('a', 'Open the file');
      open.href = button.dataset.href;
      link!.append(' ', open);
    }
    status!.textContent = '';
    dialog.showModal();
  });
  copy!.addEventListener('click', () => {
    const name = link!.querySelector('code')!;
    // What is selected can be copied by hand where the clipboard is closed to scripts.
    getSelection()?.selectAllChildren(name);
    const copied = window.isSecureContext ? navigator.clipboard.writeText(path) : Promise.reject(new Error('insecure'));
    copied.then(
      () => (status!.textContent = 'Copied.'),
      () => (status!.textContent = 'Selected: press Ctrl+C to copy.'),
    );
  });
  closeOnBackdrop(dialog);
}

/** A click beside the dialog closes it. */
export function closeOnBackdrop(dialog: HTMLDialogElement): void {
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
}
