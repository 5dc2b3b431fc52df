import { median } from '../support/statistics.js';
import { ALLOWED, LOWEST_COSINE, MEAN_COSINE, RATE, SHARE } from './setting.js';

/** One figure of one run. */
export interface Sample {
  figure: string;
  name: string;
  value: number;
}

/** A contestant's figure over all rounds. */
export interface Summary {
  figure: string;
  name: string;
  median: number;
  min: number;
  max: number;
}

/** Summaries in order of first appearance, grouped by figure. */
export function summarize(samples: readonly Sample[]): Summary[] {
  const names = (figure: string) =>
    new Set(samples.filter((sample) => sample.figure === figure).map(({ name }) => name));
  const figures = [...new Set(samples.map(({ figure }) => figure))];
  return figures.flatMap((figure) =>
    [...names(figure)].map((name) => {
      const values = samples
        .filter((sample) => sample.figure === figure && sample.name === name)
        .map(({ value }) => value);
      return { figure, name, median: median(values), min: Math.min(...values), max: Math.max(...values) };
    }),
  );
}

/** What share of the rate each contestant reaches, in one round, that its parts allow. */
export function sharesIn(round: readonly Sample[]): Sample[] {
  return round.flatMap(({ figure, name, value }) => {
    const allowed = round.find((other) => other.figure === ALLOWED && other.name === name);
    return figure === RATE && allowed ? [{ figure: SHARE, name, value: value / allowed.value }] : [];
  });
}

const COSINES = [MEAN_COSINE, LOWEST_COSINE];

/** A Markdown table. The last column has our medians as multiples of the best peer's. */
export function tableOf(figures: readonly Summary[]): string {
  const rows = figures.map((summary) => {
    const { figure, name, median: middle, min, max } = summary;
    const write = COSINES.includes(figure) ? (value: number) => value.toFixed(5) : short;
    return [figure, name, write(middle), `${write(min)} – ${write(max)}`, ratio(summary, figures)];
  });
  const header = ['figure', 'of', 'median', 'range', 'ratio to the best peer'];
  const all = [header, ...rows];
  const widths = header.map((_, c) => Math.max(...all.map((row) => row[c]!.length)));
  const lines = all.map((row) => `| ${row.map((cell, c) => cell.padEnd(widths[c]!)).join(' | ')} |`);
  lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return lines.join('\n');
}

function ratio({ figure, name, median: own }: Summary, figures: readonly Summary[]): string {
  const peers = figures.filter((other) => other.figure === figure && !isOurs(other.name));
  const best = peers.sort((a, b) => (figure === RATE ? b.median - a.median : a.median - b.median))[0];
  return best && isOurs(name) ? `${(own / best.median).toFixed(2)} × ${best.name}` : '';
}

/** Whether a contestant is lastlayer itself. */
export function isOurs(name: string): boolean {
  return name.startsWith('lastlayer');
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
