/** One SVG element, e.g. `element('circle', { r: 3 })`; numbers are rounded to a hundredth. */
export function element(name: string, attributes: Record<string, string | number>, ...children: string[]): string {
  const written = Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? Math.round(value * 100) / 100 : value}"`)
    .join('');
  return `<${name}${written}>${children.join('')}</${name}>`;
}

/** A group of elements under a transform such as `rotate(30)`. */
export function group(transform: string, ...children: string[]): string {
  return element('g', { transform }, ...children);
}

/** A path, e.g. `path('M 0 0 L 1 1 Z', { fill: 'red' })`; numbers are rounded to a tenth. */
export function path(steps: string, attributes: Record<string, string | number>): string {
  const d = steps.replaceAll(/-?\d*\.\d+(e-?\d+)?/g, (number) => Number(number).toFixed(1));
  return element('path', { d, ...attributes });
}
