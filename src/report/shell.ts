import { sha256Of } from '../util/hash.js';
import { pageFile } from '../util/page-files.js';
import { count } from '../util/text.js';
import { html, Html, scriptJson } from './html.js';
import type { PageData } from './page-data.js';

export interface ShellContent {
  title: string;
  /** Absolute path of the data set. */
  dataset: string;
  /** The sections' ids and names, for the navigation. */
  sections: readonly (readonly [string, string])[];
  main: readonly Html[];
  /** Pictures in the file, and of the data set. */
  counts: { shown: number; all: number };
  data: PageData;
}

/** One HTML file that needs nothing else, and may load nothing else: its policy forbids it. */
export async function shell({ title, dataset, sections, main, counts, data }: ShellContent): Promise<string> {
  const [script, style] = await Promise.all([pageFile('report/page.js'), pageFile('report/page.css')]);
  // The policy names the digest of the very text between the tags.
  const scriptElement = new Html(`<script>${script}</script>`);
  const policy = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${sha256Of(script, 'base64')}'`;
  const { text } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        <style>
          ${new Html(style)}
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
        ${scriptElement}
      </body>
    </html> `;
  return text;
}
