import { sha256Of } from '../util/hash.js';
import { html, Html, scriptJson } from './html.js';
import { SCRIPT } from './script.js';
import { STYLE } from './style.js';
import { count } from './words.js';

/** A picture that the page's script shows. */
export interface ListedPicture {
  uri: string;
  name: string;
  /** Numbers among the page's labels. */
  label: number;
  predicted: number;
  /** Of what was predicted; 0 … 1. */
  p: number;
}

export interface ShellContent {
  title: string;
  /** Absolute path of the data set. */
  dataset: string;
  /** The sections' ids and names, for the navigation. */
  sections: readonly (readonly [string, string])[];
  main: readonly Html[];
  /** Pictures in the file, and of the data set. */
  counts: { shown: number; all: number };
  /** What the page's script goes by: labels and pictures, those behind each cell and those of the maps' points. */
  data: {
    labels: readonly string[];
    pictures: readonly ListedPicture[];
    cells: Readonly<Record<string, readonly number[]>>;
    points: readonly number[];
  };
}

/** Made here, as the policy names the digest of the very text between the tags. */
const SCRIPT_ELEMENT = new Html(`<script>${SCRIPT}</script>`);

/** One HTML file that needs nothing else, and may load nothing else: its policy forbids it. */
export function shell({ title, dataset, sections, main, counts, data }: ShellContent): string {
  const policy = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${sha256Of(SCRIPT, 'base64')}'`;
  const { text } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        <style>
          ${new Html(STYLE)}
        </style>
      </head>
      <body>
        <header>
          <h1>${title}</h1>
          <p>${dataset}</p>
          <nav aria-label="Sections">
            <ul>
              ${sections.map(([id, name]) => html`<li><a href="#${id}">${name}</a></li>`)}
            </ul>
          </nav>
        </header>
        <main>${main}</main>
        <footer>
          <p>
            ${count(counts.shown)} of ${count(counts.all)} pictures are in this file, as thumbnails of 128
            pixels at most. It needs no network and loads nothing.
          </p>
        </footer>
        <dialog id="cell" aria-labelledby="cell-title">
          <form method="dialog"><button>Close</button></form>
          <h2 id="cell-title"></h2>
          <p></p>
          <ul class="gallery"></ul>
        </dialog>
        <script type="application/json" id="pictures">
          ${scriptJson(data)}
        </script>
        ${SCRIPT_ELEMENT}
      </body>
    </html> `;
  return text;
}
