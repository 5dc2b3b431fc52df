import { find } from '../dom.js';

/** Galleries show the pictures of one class, those whose text has all the words that are typed, or those unlike the training pictures. */
export function filterPictures(): void {
  const form = find('filter', HTMLFormElement);
  const chosen = find('filter-class', HTMLSelectElement);
  const typed = find('filter-text', HTMLInputElement);
  const status = find('filter-status', HTMLOutputElement);
  // Heads that do not tell it have no such box.
  const unlike = document.querySelector<HTMLInputElement>('#filter-unlike');
  const cards = [...document.querySelectorAll<HTMLElement>('main .gallery > li')].map((card) => ({
    card,
    labels: JSON.parse(card.dataset.labels ?? '[]') as string[],
    text: card.textContent.toLowerCase(),
    isUnlike: card.querySelector('.unlike') !== null,
  }));
  const update = (): void => {
    const words = typed.value.toLowerCase().split(/\s+/);
    // The first entry stands for all classes, whatever the classes are called.
    const label = chosen.selectedIndex === 0 ? undefined : chosen.value;
    let shown = 0;
    for (const { card, labels, text, isUnlike } of cards) {
      card.hidden =
        !(label === undefined || labels.includes(label)) ||
        !words.every((word) => text.includes(word)) ||
        (unlike?.checked === true && !isUnlike);
      if (!card.hidden) shown++;
    }
    status.textContent = shown === cards.length ? '' : `${shown} of ${cards.length} pictures in the galleries`;
  };
  form.addEventListener('input', update);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
  });
}
