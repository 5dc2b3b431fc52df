import { leaves } from './background.js';
import type { Random } from '../support/random.js';
import type { Subject } from './scene.js';
import { element, group, path } from '../support/svg.js';

/** A blossom of 5 to 14 petals around a disc, with or without a stem. */
export const flower: Subject = { draw, habitat: { hues: [70, 150], clutter: leaves } };

function draw(random: Random): string {
  const count = random.whole(5, 14);
  const [length, breadth] = [random.between(26, 40), random.between(0.7, 1.3) * (95 / count)];
  const fill = random.colour([45, 95], [45, 85]);
  const petal = random.chance(0.5) ? pointed(length, breadth, fill) : rounded(length, breadth, fill);
  const turn = random.between(0, 360);
  const petals = Array.from({ length: count }, (_, i) => group(`rotate(${turn + (i * 360) / count})`, petal));
  const disc = random.between(6, 12);
  const seeds = Array.from({ length: 24 }, () => {
    const [angle, far] = [random.between(0, 2 * Math.PI), disc * Math.sqrt(random.between(0, 0.9))];
    return element('circle', { cx: far * Math.cos(angle), cy: far * Math.sin(angle), r: 0.9, fill: '#0007' });
  });
  return (
    (random.chance(0.6) ? stem(random) : '') +
    petals.join('') +
    element('circle', { r: disc, fill: random.colour([50, 95], [25, 65]) }) +
    seeds.join('')
  );
}

function rounded(length: number, breadth: number, fill: string): string {
  const shape = { cx: length * 0.6, cy: 0, rx: length * 0.55, ry: breadth * 0.5 };
  return element('ellipse', { ...shape, fill, stroke: '#0004', 'stroke-width': 0.8 });
}

function pointed(length: number, breadth: number, fill: string): string {
  const outline = `M 0 0 Q ${length * 0.5} ${-breadth * 0.8} ${length * 1.15} 0 Q ${length * 0.5} ${breadth * 0.8} 0 0 Z`;
  return path(outline, { fill, stroke: '#0004', 'stroke-width': 0.8 });
}

function stem(random: Random): string {
  const green = `hsl(${random.whole(80, 150)} ${random.whole(30, 70)}% ${random.whole(20, 45)}%)`;
  const bend = random.between(-18, 18);
  const line = { fill: 'none', stroke: green, 'stroke-width': random.between(2.5, 5) };
  const [x, y] = [bend * 0.8, random.between(45, 65)];
  const leaf = `M ${x} ${y} q 14 -16 32 -8 q -10 16 -32 8 Z`;
  return path(`M 0 0 Q ${bend} 40 ${bend} 90`, line) + path(leaf, { fill: green });
}
