import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { html, Html } from './html.js';

export interface FigureOptions {
  id: string;
  /** What the figure shows, for those who do not see it. */
  description: string;
  caption: string;
  plot: Plot.PlotOptions;
  /** The data as a table: a header and rows. */
  table?: readonly (readonly string[])[] | undefined;
  /** Elements that get their number, in the order of the data, as an attribute. */
  mark?: { selector: string; attribute: string } | undefined;
}

/** What is needed of a DOM element, whose types are no part of this project. */
interface Drawn {
  outerHTML: string;
  setAttribute: (name: string, value: string) => void;
  removeAttribute: (name: string) => void;
  querySelectorAll: (selector: string) => Iterable<Drawn>;
}

/** Draws a figure as SVG, with its description, caption and data. Its colours are the page's, so that it turns dark with it. */
export function figure({ id, description, caption, plot, table, mark }: FigureOptions): Html {
  const { document } = parseHTML('<!doctype html><html><body></body></html>') as unknown as {
    document: unknown;
  };
  const svg = Plot.plot({
    document,
    width: 640,
    marginTop: 34,
    marginBottom: 46,
    ...plot,
    style: { background: 'transparent', fontSize: '13px', overflow: 'visible' },
  }) as unknown as Drawn;
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', description);
  if (mark) {
    [...svg.querySelectorAll(mark.selector)].forEach((element, i) => {
      element.setAttribute(mark.attribute, String(i));
    });
  }
  // The parts of an image have no names of their own; Plot gives them some.
  for (const part of svg.querySelectorAll('g[aria-label]')) part.removeAttribute('aria-label');
  return html`<figure id="${id}">
    ${new Html(svg.outerHTML)}
    <figcaption>${caption}</figcaption>
    ${table && details('The same as a table', tableOf(table))}
  </figure>`;
}

/** Something that is folded away until it is asked for. */
export function details(summary: string, content: Html): Html {
  return html`<details>
    <summary>${summary}</summary>
    ${content}
  </details>`;
}

/** A table with a header; the first column names the rows, all others hold numbers. It scrolls where it is too wide. */
export function tableOf([header = [], ...rows]: readonly (readonly string[])[]): Html {
  return html`<div class="scroll" tabindex="0" role="group" aria-label="table">
    <table>
      <thead>
        <tr>
          ${header.map((cell) => html`<th scope="col">${cell}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([name = '', ...cells]) =>
            html`<tr>
              <th scope="row">${name}</th>
              ${cells.map((cell) => html`<td>${cell}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
