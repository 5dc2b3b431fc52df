/**
 * What makes the page answer: cells of the confusion matrix open their pictures, points of the maps show theirs. It reads
 * the list of pictures from the page and makes elements with textContent only, so no label can become markup.
 */
export const SCRIPT = `
(() => {
  'use strict';
  const { labels, pictures, cells, points } = JSON.parse(document.getElementById('pictures').textContent);
  const percent = (share) => (100 * share).toFixed(1) + '\\u00a0%';
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const card = (picture, element) => {
    if (picture.uri) {
      const img = make('img');
      img.src = picture.uri;
      img.alt = labels[picture.label] + ': ' + picture.name;
      element.append(img);
    }
    const isRight = picture.label === picture.predicted;
    element.append(
      make('b', labels[picture.label]),
      make('span', (isRight ? '' : 'taken for ' + labels[picture.predicted] + ', ') + percent(picture.p), isRight ? 'right' : 'wrong'),
      make('small', ' ' + picture.name),
    );
    return element;
  };

  const dialog = document.getElementById('cell');
  document.querySelectorAll('[data-cell]').forEach((button) => {
    button.addEventListener('click', () => {
      const [i, j] = button.dataset.cell.split(',').map(Number);
      const found = cells[button.dataset.cell] || [];
      const total = Number(button.textContent);
      dialog.querySelector('h2').textContent = i === j ? labels[i] + ', recognised' : labels[i] + ', taken for ' + labels[j];
      dialog.querySelector('p').textContent = found.length < total ? 'Showing ' + found.length + ' of ' + total + ' pictures.' : total + (total === 1 ? ' picture.' : ' pictures.');
      dialog.querySelector('ul').replaceChildren(...found.map((n) => card(pictures[n], make('li'))));
      dialog.showModal();
    });
  });
  dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });

  const preview = document.getElementById('preview');
  const show = (point) => {
    document.querySelectorAll('[data-point].at').forEach((other) => other.classList.remove('at'));
    point.classList.add('at');
    preview.replaceChildren();
    card(pictures[points[point.dataset.point]], preview);
  };
  document.querySelectorAll('.map').forEach((map) => {
    const all = [...map.querySelectorAll('[data-point]')];
    let at;
    map.addEventListener('pointerover', (event) => {
      const point = event.target.closest('[data-point]');
      if (point) show((at = point));
    });
    const places = () => all.map((point) => {
      const box = point.getBoundingClientRect();
      return { point, x: box.x + box.width / 2, y: box.y + box.height / 2 };
    });
    map.addEventListener('keydown', (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      if (!at) return show((at = all[0]));
      const everywhere = places();
      const from = everywhere[all.indexOf(at)];
      let [best, least] = [undefined, Infinity];
      for (const place of everywhere) {
        const [dx, dy] = [place.x - from.x, place.y - from.y];
        const [along, aside] = [dx * way[0] + dy * way[1], Math.abs(dx * way[1] - dy * way[0])];
        const far = along + 2 * aside;
        if (along > 0 && far < least) [best, least] = [place.point, far];
      }
      if (best) show((at = best));
    });
  });

  document.querySelectorAll('[data-class]').forEach((button) => {
    button.addEventListener('click', () => {
      const pressed = button.getAttribute('aria-pressed') !== 'true';
      document.querySelectorAll('[data-class]').forEach((other) => other.setAttribute('aria-pressed', 'false'));
      button.setAttribute('aria-pressed', String(pressed));
      document.querySelectorAll('[data-point]').forEach((point) => {
        const picture = pictures[points[point.dataset.point]];
        point.classList.toggle('dim', pressed && picture.label !== Number(button.dataset.class));
      });
    });
  });
})();
`;
