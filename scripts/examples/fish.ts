import { ripples } from './background.js';
import type { Random } from '../support/random.js';
import type { Subject } from './scene.js';
import { element, group, path } from '../support/svg.js';

/** A fish from the side, swimming either way, plain, striped or dotted. */
export const fish: Subject = { draw, habitat: { hues: [160, 230], clutter: ripples } };

function draw(random: Random): string {
  const [fill, fin] = [random.colour(), random.colour()];
  const [length, depth] = [random.between(32, 42), random.between(12, 26)];
  const [fork, tail] = [random.between(8, 20), random.between(10, 18)];
  const tailFin = `M ${-length + 6} 0 L ${-length - tail} ${-fork} Q ${-length - 4} 0 ${-length - tail} ${fork} Z`;
  const crest = random.between(6, 18);
  const backFin = `M -14 ${-depth * 0.75} Q 0 ${-depth - crest} 16 ${-depth * 0.7} Z`;
  const bellyFin = `M -4 ${depth * 0.6} Q -8 ${depth + crest} -18 ${depth * 0.9} L 8 ${depth * 0.6} Z`;
  const outline = `M ${length} 0 Q ${length * 0.3} ${-depth * 1.5} ${-length} 0 Q ${length * 0.3} ${depth * 1.5} ${length} 0 Z`;
  const eye = { cx: length * 0.68, cy: -depth * 0.18 };
  const drawn = [
    path(tailFin, { fill: fin }),
    path(backFin, { fill: fin }),
    path(bellyFin, { fill: fin }),
    path(outline, { fill }),
    element('clipPath', { id: 'body' }, path(outline, {})),
    element('g', { 'clip-path': 'url(#body)' }, random.pick([plain, striped, dotted])(random, length, depth)),
    element('circle', { ...eye, r: 4, fill: '#fff' }),
    element('circle', { ...eye, r: 2, fill: '#111' }),
    path(`M ${length * 0.5} ${-depth * 0.5} Q ${length * 0.35} 0 ${length * 0.5} ${depth * 0.5}`, {
      fill: 'none',
      stroke: '#0006',
      'stroke-width': 1.5,
    }),
  ];
  return group(`scale(${random.chance(0.5) ? 1 : -1} 1)`, ...drawn);
}

function plain(random: Random, length: number, depth: number): string {
  const belly = { cx: 0, cy: depth * 0.9, rx: length, ry: depth * 0.8 };
  return element('ellipse', { ...belly, fill: random.colour([20, 80], [60, 92]), opacity: 0.7 });
}

function striped(random: Random, length: number): string {
  const fill = random.colour([20, 90], [10, 90]);
  const step = random.between(9, 18);
  const bands: string[] = [];
  for (let x = -length; x < length * 0.55; x += step) {
    bands.push(element('rect', { x, y: -60, width: step * 0.45, height: 120, fill }));
  }
  return group(`skewX(${random.between(-15, 15)})`, ...bands);
}

function dotted(random: Random, length: number, depth: number): string {
  const fill = random.colour([20, 90], [10, 90]);
  return Array.from({ length: random.whole(8, 30) }, () =>
    element('circle', {
      cx: random.between(-length, length * 0.5),
      cy: random.between(-depth, depth),
      r: random.between(1, 4),
      fill,
    }),
  ).join('');
}
