import type { Random } from '../support/random.js';

const open = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';

export const SVGS: readonly string[] = [
  `${open} width="60" height="48"><defs><linearGradient id="g"><stop offset="0" stop-color="red"/><stop offset="1"/></linearGradient></defs><rect width="50" height="40" fill="url(#g)"/><path d="M5 5 C 10 40, 40 10, 50 45 Z" stroke="blue" stroke-width="2" stroke-dasharray="3 1"/></svg>`,
  `${open} viewBox="0 0 80 60"><style>.a { fill: #0f0; opacity: 0.5 } g > rect { stroke: black }</style><filter id="f"><feGaussianBlur stdDeviation="2"/><feTurbulence baseFrequency="0.1" numOctaves="2"/><feComposite in2="SourceGraphic" operator="in"/></filter><g class="a" filter="url(#f)"><rect x="5" y="5" width="60" height="40"/></g></svg>`,
  `${open} width="64" height="64"><defs><g id="u"><circle r="4" cx="8" cy="8"/></g><g id="v"><use xlink:href="#u"/><use href="#u" x="9"/></g><pattern id="p" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="4" height="4"/></pattern><mask id="m"><rect width="64" height="32" fill="white"/></mask><clipPath id="c"><circle cx="32" cy="32" r="30"/></clipPath></defs><rect width="64" height="64" fill="url(#p)" mask="url(#m)" clip-path="url(#c)"/><use href="#v" y="20"/><text x="2" y="60" font-size="12">abc</text></svg>`,
  `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "abc">]>${open} width="3in" height="40"><image href="missing.png" width="10" height="10"/><script>throw 1</script><text y="20">&a;&a;</text></svg>`,
];

const NUMBERS = '0 -1 1e9 1e308 -1e30 65535 32768 0.0000001 NaN 2147483648 99999999999999999999'.split(' ');
const PIECES = [
  '<use href="#v"/>',
  '<g id="v"><use href="#v"/></g>',
  '<feMorphology operator="dilate" radius="50"/>',
  '<feConvolveMatrix order="50" kernelMatrix="1 1 1"/>',
  '<image href="file:///etc/passwd" width="9" height="9"/>',
  '<image href="data:image/png;base64,iVBORw0KGgo=" width="9" height="9"/>',
  '<style>@import url("http://localhost:1/a.css"); * { filter: url(#f) } </style>',
  '<g filter="url(#f)"><g filter="url(#f)">',
  '&a;',
];

/** Changes numbers, removes, repeats or nests elements, and inserts pieces of other files. */
export function mutateSvg(svg: string, random: Random): Buffer {
  let text = svg;
  for (let n = random.whole(1, 4); n > 0; n--) {
    const found = [...text.matchAll(random.chance(0.6) ? /-?\d+(?:\.\d+)?/g : /<[^>]*>/g)];
    const match = found[random.whole(0, found.length - 1)];
    if (match)
      text = text.slice(0, match.index) + replacement(match[0], random) + text.slice(match.index + match[0].length);
  }
  return Buffer.from(text);
}

function replacement(found: string, random: Random): string {
  if (!found.startsWith('<')) return number(random);
  return random.pick([
    '',
    found + found,
    found.repeat(random.whole(2, 300)),
    found + random.pick(PIECES),
    random.pick(PIECES),
    found.replace(/"[^"]*"/, `"${number(random)}"`),
    found.replace(/"[^"]*"/, '"url(#g)"'),
  ]);
}

function number(random: Random): string {
  return random.pick(NUMBERS);
}
