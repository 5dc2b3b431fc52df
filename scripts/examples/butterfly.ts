import { stripes } from './background.js';
import type { Random } from '../support/random.js';
import type { Subject } from './scene.js';
import { element, group, path } from '../support/svg.js';

/** Two pairs of wings, seen from above, with spots and a thin body. */
export const butterfly: Subject = { draw, habitat: { hues: [270, 340], clutter: stripes } };

function draw(random: Random): string {
  const wings = wing(random);
  const spread = random.between(0.6, 1.05);
  const dark = random.colour([10, 60], [8, 25]);
  const body = element('ellipse', { rx: random.between(2, 4), ry: random.between(18, 25), fill: dark });
  const feeler = { fill: 'none', stroke: dark, 'stroke-width': 1.2, 'stroke-linecap': 'round' };
  const [reach, curl] = [random.between(8, 18), random.between(-8, 4)];
  const feelers = [-1, 1]
    .map((side) => path(`M 0 -18 Q ${side * 2} -34 ${side * reach} ${-42 + curl}`, feeler))
    .join('');
  return group(`scale(${spread} 1)`, wings) + group(`scale(${-spread} 1)`, wings) + body + feelers;
}

function wing(random: Random): string {
  const [fill, rim, spot] = [random.colour(), random.colour([20, 80], [5, 30]), random.colour([40, 95], [55, 95])];
  const style = { fill, stroke: rim, 'stroke-width': random.between(1, 4) };
  const [top, out] = [random.between(30, 48), random.between(36, 52)];
  const fore = `M 0 -8 C 10 ${-top - 8} ${out} ${-top - 6} ${out} ${-top / 2} C ${out} -4 20 4 0 2 Z`;
  const [low, tail] = [random.between(26, 46), random.between(22, 40)];
  const hind = `M 0 2 C 24 -2 ${tail + 8} 8 ${tail} ${low * 0.7} C ${tail - 4} ${low + 6} 8 ${low} 0 10 Z`;
  const spots = Array.from({ length: random.whole(0, 5) }, () =>
    element('circle', {
      cx: random.between(10, out * 0.75),
      cy: random.between(-top * 0.6, -6),
      r: random.between(1.5, 5),
      fill: spot,
    }),
  );
  return (
    path(hind, { ...style, fill: random.chance(0.5) ? fill : random.colour() }) + path(fore, style) + spots.join('')
  );
}
