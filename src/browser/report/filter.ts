import { find } from '../dom.js';

/** Galleries show the pictures of one class, or those whose text has all the words that are typed. */
export function filterPictures(): void {
  const form = find('filter', HTMLFormElement);
  const chosen = find('filter-class', HTMLSelectElement);
  const typed = find('filter-text', HTMLInputElement);
  const status = find('filter-status', HTMLOutputElement);
  const cards = [...document.querySelectorAll<HTMLElement>('main .gallery > li')].map((card) => ({
    card,
    labels: JSON.parse(card.dataset.labels ?? '[]') as string[],
    text: card.textContent.toLowerCase(),
  }));
  const update = (): void => {
    const words = typed.value.toLowerCase().split(/\s+/);
    // The first entry stands for all classes, whatever the classes are called.
    const label = chosen.selectedIndex === 0 ? undefined : chosen.value;
    let shown = 0;
    for (const { card, labels, text } of cards) {
      card.hidden = !(label === undefined || labels.includes(label)) || !words.every((word) => text.includes(word));
      if (!card.hidden) shown++;
    }
    status.textContent = shown === cards.length ? '' : `${shown} of ${cards.length} pictures in the galleries`;
  };
  form.addEventListener('input', update);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
  });
}
