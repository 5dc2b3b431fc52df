import type { Random } from '../support/random.js';
import { element, group, path } from '../support/svg.js';

/** Where a subject is usually found. */
export interface Habitat {
  /** Range of the ground's hue, in degrees. */
  hues: [number, number];
  clutter: Clutter;
}

/** Draws what lies on the ground. */
export type Clutter = (random: Random, width: number, height: number) => string;

const ANYWHERE = 0.15;

/** A gradient with clutter on it: usually the subject's habitat, sometimes something else. */
export function background(random: Random, habitat: Habitat, width: number, height: number): string {
  const { hues, clutter } = random.chance(ANYWHERE)
    ? { hues: [0, 359] as const, clutter: random.pick([leaves, pebbles, stripes, ripples]) }
    : habitat;
  const stops = [0, 1].map((offset) =>
    element('stop', { offset, 'stop-color': random.colour([15, 70], [25, 85], hues) }),
  );
  const angle = random.between(0, 360);
  return (
    element('linearGradient', { id: 'ground', gradientTransform: `rotate(${angle} 0.5 0.5)` }, ...stops) +
    element('rect', { width, height, fill: 'url(#ground)' }) +
    element('g', { opacity: random.between(0.3, 0.8) }, clutter(random, width, height))
  );
}

/** A soft light from one side, and a darker rim. */
export function light(random: Random, width: number, height: number): string {
  const stops = [
    element('stop', { offset: 0, 'stop-color': '#fff', 'stop-opacity': random.between(0.1, 0.3) }),
    element('stop', { offset: 1, 'stop-color': '#000', 'stop-opacity': random.between(0.1, 0.4) }),
  ];
  const centre = { cx: random.between(0.1, 0.9), cy: random.between(0, 0.5), r: 0.9 };
  return (
    element('radialGradient', { id: 'light', ...centre }, ...stops) +
    element('rect', { width, height, fill: 'url(#light)' })
  );
}

export function leaves(random: Random, width: number, height: number): string {
  const colour = random.colour([30, 70], [20, 55]);
  return scattered(random, width, height, random.whole(12, 40), () => {
    const [length, breadth] = [random.between(14, 50), random.between(4, 12)];
    const outline = `M 0 0 Q ${length / 2} ${-breadth} ${length} 0 Q ${length / 2} ${breadth} 0 0 Z`;
    return path(outline, { fill: random.chance(0.7) ? colour : random.colour() });
  });
}

export function pebbles(random: Random, width: number, height: number): string {
  return scattered(random, width, height, random.whole(20, 70), () =>
    element('ellipse', {
      rx: random.between(3, 22),
      ry: random.between(3, 16),
      fill: random.colour([5, 40], [25, 80]),
    }),
  );
}

export function stripes(random: Random, width: number, height: number): string {
  const reach = width + height;
  const bands: string[] = [];
  for (let x = -reach; x < reach; x += random.between(8, 40)) {
    const band = { x, y: -reach, width: random.between(3, 14), height: 2 * reach };
    bands.push(element('rect', { ...band, fill: random.colour([10, 60], [20, 85]) }));
  }
  return group(`translate(${width / 2} ${height / 2}) rotate(${random.between(0, 180)})`, ...bands);
}

export function ripples(random: Random, width: number, height: number): string {
  return scattered(random, width, height, random.whole(8, 24), () =>
    path(`M -60 0 Q -30 ${random.between(-20, 20)} 0 0 T 60 0`, {
      fill: 'none',
      stroke: random.colour([10, 60], [40, 95]),
      'stroke-width': random.between(1, 6),
      'stroke-linecap': 'round',
    }),
  );
}

function scattered(random: Random, width: number, height: number, count: number, draw: () => string): string {
  return Array.from({ length: count }, () => {
    const [x, y] = [random.between(0, width), random.between(0, height)];
    return group(`translate(${x} ${y}) rotate(${random.between(0, 360)})`, draw());
  }).join('');
}
