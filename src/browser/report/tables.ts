import { make } from '../dom.js';

/** A click on a heading sorts the table by its column; another one turns the order round. */
export function sortTables(): void {
  document.querySelectorAll<HTMLTableElement>('table:not(.confusion)').forEach((table) => {
    const body = table.tBodies[0];
    const headings = [...table.querySelectorAll<HTMLTableCellElement>('thead th')];
    // Without a heading, the rows are different things, which have no order.
    if (!body || body.rows.length < 2 || headings[0]?.textContent.trim() === '') return;
    headings.forEach((heading, column) => {
      const button = make('button', heading.textContent.trim());
      button.type = 'button';
      heading.replaceChildren(button);
      button.addEventListener('click', () => {
        const rows = [...body.rows];
        const texts = new Map(rows.map((row) => [row, row.cells[column]?.textContent.trim() ?? '']));
        const isNumeric = [...texts.values()].every((text) => text === NONE || !Number.isNaN(numberIn(text)));
        // Numbers are first shown with the largest on top.
        const first = isNumeric ? 'descending' : 'ascending';
        const order = heading.ariaSort === first ? OPPOSITE[first] : first;
        for (const each of headings) each.removeAttribute('aria-sort');
        heading.ariaSort = order;
        const sign = order === 'ascending' ? 1 : -1;
        const compare = (a: string, b: string) =>
          isNumeric ? numberIn(a) - numberIn(b) : a.localeCompare(b, undefined, { numeric: true });
        rows.sort((one, other) => {
          const [a, b] = [texts.get(one) ?? '', texts.get(other) ?? ''];
          // What has no value stays at the end.
          if (a === NONE || b === NONE) return Number(a === NONE) - Number(b === NONE);
          return sign * compare(a, b);
        });
        body.append(...rows);
      });
    });
  });
}

const NONE = '–';
const OPPOSITE = { ascending: 'descending', descending: 'ascending' } as const;

/** `1,234`, `89.5 %` and `−0.3 pp` as numbers; NaN for other texts. */
function numberIn(text: string): number {
  const [digits] = /^[+−-]?[\d.,]+(e[+-]?\d+)?(?=\s|%|$)/.exec(text) ?? [];
  return digits === undefined ? NaN : Number(digits.replaceAll(',', '').replace('−', '-'));
}

/** Says so above what is wider than the screen. */
export function hintAtScrolling(): void {
  const hints = new Map<Element, HTMLElement>();
  const watcher = new ResizeObserver((entries) => {
    for (const { target } of entries) hints.get(target)!.hidden = target.scrollWidth <= target.clientWidth + 1;
  });
  document.querySelectorAll('.scroll').forEach((box) => {
    const hint = make('p', 'Scroll sideways to see all columns →', 'hint');
    hint.hidden = true;
    hints.set(box, hint);
    box.before(hint);
    watcher.observe(box);
  });
}
