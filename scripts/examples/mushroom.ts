import { pebbles } from './background.js';
import type { Random } from '../support/random.js';
import type { Subject } from './scene.js';
import { element, path } from '../support/svg.js';

/** A cap, flat to pointed, plain or spotted, on a stem with or without a ring. */
export const mushroom: Subject = { draw, habitat: { hues: [15, 50], clutter: pebbles } };

function draw(random: Random): string {
  const [breadth, height] = [random.between(28, 46), random.between(18, 48)];
  const [thick, long] = [random.between(5, 13), random.between(28, 48)];
  const flesh = random.colour([5, 35], [65, 95]);
  const stem = `M ${-thick} 0 Q ${-thick * 0.7} ${long * 0.5} ${-thick * 1.3} ${long} L ${thick * 1.3} ${long} Q ${thick * 0.7} ${long * 0.5} ${thick} 0 Z`;
  const sag = random.between(2, 9);
  const cap = `M ${-breadth} 0 C ${-breadth} ${-height * 0.8} ${-breadth * 0.4} ${-height} 0 ${-height} C ${breadth * 0.4} ${-height} ${breadth} ${-height * 0.8} ${breadth} 0 Q 0 ${sag * 2} ${-breadth} 0 Z`;
  const gills = { cx: 0, cy: 1, rx: breadth * 0.95, ry: sag, fill: random.colour([5, 40], [30, 70]) };
  const ring = { cx: 0, cy: long * random.between(0.25, 0.5), rx: thick * 1.4, ry: 3, fill: flesh };
  return [
    path(stem, { fill: flesh, stroke: '#0004', 'stroke-width': 0.8 }),
    random.chance(0.4) ? element('ellipse', { ...ring, stroke: '#0005', 'stroke-width': 0.8 }) : '',
    path(cap, { fill: random.colour([25, 90], [20, 70]) }),
    element('ellipse', gills),
    element('clipPath', { id: 'cap' }, path(cap, {})),
    element('g', { 'clip-path': 'url(#cap)' }, random.chance(0.6) ? spots(random, breadth, height) : ''),
  ].join('');
}

function spots(random: Random, breadth: number, height: number): string {
  const fill = random.colour([5, 60], [70, 98]);
  return Array.from({ length: random.whole(5, 14) }, () =>
    element('ellipse', {
      cx: random.between(-breadth, breadth),
      cy: random.between(-height, -4),
      rx: random.between(2, 6),
      ry: random.between(1.5, 4.5),
      fill,
    }),
  ).join('');
}
