/** Text that is HTML already. */
export class Html {
  constructor(readonly text: string) {}
}

type Value = Html | string | number | readonly Html[] | undefined;

/** HTML from a template. Every value is escaped, unless it is HTML itself. */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(strings.map((text, i) => text + (i < values.length ? textOf(values[i]) : '')).join(''));
}

function textOf(value: Value): string {
  if (value === undefined) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return String(value)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** A value as JSON for a script element. It contains no `<`, which could end the element or begin a comment. */
export function scriptJson(value: unknown): Html {
  return new Html(JSON.stringify(value).replaceAll('<', '\\u003c'));
}

/** A path that may be broken after slashes, dashes and underscores. */
export function breakable(path: string): Html {
  const parts = path.split(/(?<=[/\\_-])/).map((part) => html`${part}`.text);
  return new Html(parts.join('<wbr />'));
}

/** A part of the report, under a heading. */
export interface Section {
  id: string;
  title: string;
  content: Html;
}

/** A table with a header. The first column names the rows, all others hold numbers. It scrolls if it is too wide. */
export function table([header = [], ...rows]: readonly (readonly string[])[]): Html {
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

/** Names and their values. */
export function definitions(className: string, items: readonly (readonly [string, string])[]): Html {
  return html`<dl class="${className}">
    ${items.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** Content that is folded away until it is opened. */
export function details(summary: string, content: Html): Html {
  return html`<details>
    <summary>${summary}</summary>
    ${content}
  </details>`;
}
