import { element } from '../support/svg.js';
import { RATE } from './setting.js';
import { isOurs, type Summary } from './summary.js';

const [WIDTH, ROW, LEFT] = [720, 34, 160];
const TITLE = 'Images per second, from files on disk to stored embeddings';

/** A bar chart of the end-to-end rates: medians, with lines from the slowest to the fastest run. */
export function rateChart(figures: readonly Summary[]): string {
  const rates = figures.filter(({ figure }) => figure === RATE);
  const largest = Math.max(...rates.map(({ max }) => max));
  const x = (rate: number) => LEFT + ((WIDTH - LEFT - 70) * rate) / largest;
  const bars = rates.map(({ name, median, min, max }, i) => {
    const y = 44 + i * ROW;
    return [
      element('text', { x: LEFT - 8, y: y + 16, class: 'name' }, name),
      element('rect', {
        x: LEFT,
        y,
        width: x(median) - LEFT,
        height: 22,
        rx: 3,
        class: isOurs(name) ? 'own' : 'peer',
      }),
      element('path', { d: `M${x(min).toFixed(1)} ${y + 11}H${x(max).toFixed(1)}`, class: 'range' }),
      element('text', { x: x(max) + 8, y: y + 16 }, median.toFixed(0)),
    ].join('');
  });
  const style =
    'text{font:14px system-ui,sans-serif;fill:#1f2328}.name{text-anchor:end}.title{font-weight:600}' +
    '.own{fill:#bc4c00}.peer{fill:#8c959f}.range{stroke:#1f2328;stroke-width:1.5}' +
    '@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.own{fill:#f0883e}.range{stroke:#f0f6fc}}';
  const description = rates.map(({ name, median }) => `${name}: ${median.toFixed(0)}`).join('; ');
  return element(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${WIDTH} ${54 + rates.length * ROW}`, role: 'img' },
    element('title', {}, `${TITLE}. ${description}`),
    element('style', {}, style),
    element('text', { x: 8, y: 24, class: 'title' }, TITLE),
    ...bars,
  );
}
