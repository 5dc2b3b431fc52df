import { existsSync } from 'node:fs';
import sharp from 'sharp';
import stringWidth from 'string-width';

/** A line of text in a picture. */
export interface Lettering {
  text: string;
  /** Of the start, the middle or the end of the line, and of its base. Pixels. */
  x: number;
  y: number;
  anchor?: 'start' | 'middle' | 'end' | undefined;
  /** Pixels. */
  size: number;
  bold?: boolean | undefined;
  colour: string;
  /** The most that it may take; more is cut off. Pixels. */
  width: number;
}

const FAMILIES = "'DejaVu Sans', 'Noto Sans', 'Liberation Sans', 'Segoe UI', Helvetica, Arial, sans-serif";

/** The mean width of a letter, by the size. */
const ADVANCE = 0.58;

/** Lines of text as SVG elements: in the system's fonts or, if there are none, in plain strokes. */
export async function lettering(lines: readonly Lettering[]): Promise<string> {
  const draw = (await hasFonts()) ? inFont : inStrokes;
  return lines.map((line) => draw({ ...line, text: cutOff(visible(line.text), line.width / line.size) })).join('');
}

/** What XML does not allow, and what would change the direction or the line. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069\ufffe\uffff]+/gu, ' ');
}

/** @param width in sizes of the letters */
function cutOff(text: string, width: number): string {
  const most = Math.floor(width / ADVANCE);
  if (stringWidth(text) <= most) return text;
  let [kept, taken] = ['', 1];
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    taken += stringWidth(segment);
    if (taken > most) break;
    kept += segment;
  }
  return `${kept}…`;
}

function inFont({ text, x, y, anchor = 'start', size, bold = false, colour }: Lettering): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return (
    `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" font-weight="${bold ? 700 : 400}" ` +
    `font-family="${FAMILIES}" fill="${colour}" xml:space="preserve">${escaped}</text>`
  );
}

let fonts: Promise<boolean> | undefined;

/** Whether text can be drawn. Without fonts, the renderer draws the same box for each letter. */
function hasFonts(): Promise<boolean> {
  return (fonts ??= findFonts());
}

async function findFonts(): Promise<boolean> {
  // The renderer would complain on stderr.
  const { FONTCONFIG_FILE, FONTCONFIG_PATH } = process.env;
  const isConfigured = FONTCONFIG_FILE !== undefined || FONTCONFIG_PATH !== undefined;
  if (process.platform === 'linux' && !isConfigured && !existsSync('/etc/fonts/fonts.conf')) return false;
  const [one, other] = await Promise.all(
    ['A', 'M'].map((text) => {
      const line = inFont({ text, x: 4, y: 26, size: 24, colour: '#000', width: 32 });
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32">${line}</svg>`;
      return sharp(Buffer.from(svg)).raw().toBuffer();
    }),
  );
  return !one!.equals(other!);
}

/** Rows of a letter, from the top of capitals to the base. */
const ROWS = 6;

/** From one letter to the next, in columns. */
const STEP = 5.6;

function inStrokes({ text, x, y, anchor = 'start', size, bold = false, colour }: Lettering): string {
  const unit = (0.72 * size) / ROWS;
  // Letters lose their accents rather than become boxes.
  const letters = Array.from(text.normalize('NFKD').replace(/\p{M}+/gu, ''));
  const start = x - { start: 0, middle: 0.5, end: 1 }[anchor] * (letters.length * STEP - 1.6) * unit;
  const path = letters.flatMap((letter, n) =>
    letter === ' '
      ? []
      : (STROKES[letter] ?? UNKNOWN).split(' ').map((stroke) => {
          const points = stroke.match(/\d\d/g) ?? [];
          const places = points.map((point) => {
            const [column, row] = [Number(point[0]), Number(point[1])];
            return `${(start + (n * STEP + column) * unit).toFixed(1)} ${(y + (row - ROWS) * unit).toFixed(1)}`;
          });
          // A line to itself is drawn as a dot.
          return `M${places.join('L')}`;
        }),
  );
  return (
    `<path d="${path.join('')}" fill="none" stroke="${colour}" stroke-width="${(bold ? 1.1 : 0.75) * unit}" ` +
    'stroke-linecap="round" stroke-linejoin="round"/>'
  );
}

const UNKNOWN = '0040460600';

/** Letters as lines between points, a column 0 … 4 and a row 0 … 8 each. */
const STROKES: Partial<Record<string, string>> = {
  A: '062046 1434',
  B: '06003041423303 3344453606',
  C: '4130100105163645',
  D: '00204244260600',
  E: '40000646 0333',
  F: '400006 0333',
  G: '41301001051636454323',
  H: '0006 4046 0343',
  I: '1030 2026 1636',
  J: '4045361605',
  K: '0006 400346',
  L: '000646',
  M: '0600234046',
  N: '06004640',
  O: '103041453616050110',
  P: '06003041423303',
  Q: '103041453616050110 2446',
  R: '06003041423303 2346',
  S: '413010010213334445361605',
  T: '0040 2026',
  U: '000516364540',
  V: '002640',
  W: '0016223640',
  X: '0046 4006',
  Y: '002340 2326',
  Z: '00400646',
  a: '12324346 441405163645',
  b: '0006 0312324345361605',
  c: '4332120305163645',
  d: '4046 4332120305163645',
  e: '04444332120305163645',
  f: '40302126 1242',
  g: '4247381807 4332120305163645',
  h: '0006 0312324346',
  i: '122226 1636 2020',
  j: '2232372818 3030',
  k: '0006 3204 1436',
  l: '102026 1636',
  m: '0602 03122326 23324346',
  n: '0602 0312324346',
  o: '123243453616050312',
  p: '0208 0312324345361605',
  q: '4248 4332120305163645',
  r: '1216 132242',
  s: '43321203143445361605',
  t: '20253646 1242',
  u: '0205163645 4246',
  v: '022642',
  w: '0216233642',
  x: '0246 4206',
  y: '0226 4208',
  z: '02420646',
  0: '103041453616050110',
  1: '112026 1636',
  2: '01103041420646',
  3: '01103041423313 334445361605',
  4: '36300444',
  5: '4000023243453606',
  6: '4130100105163645443303',
  7: '004016',
  8: '13020110304142331304051636454433',
  9: '4313020110304145361605',
  '!': '2024 2626',
  '"': '1012 3032',
  '#': '1016 3036 0242 0444',
  $: '413010010213334445361605 2026',
  '%': '0640 0010110100 3545463635',
  '&': '46011020210405162644',
  "'": '2022',
  '(': '30212536',
  ')': '10212516',
  '*': '2125 1234 3214',
  '+': '2125 0343',
  ',': '252617',
  '-': '1333',
  '.': '2626',
  '/': '0640',
  ':': '2323 2626',
  ';': '2323 252617',
  '<': '311335',
  '=': '0242 0444',
  '>': '113315',
  '?': '01103041422324 2626',
  '@': '34242333344442301001051636',
  '[': '30202636',
  '\\': '0046',
  ']': '10202616',
  '^': '112031',
  _: '0747',
  '`': '1021',
  '{': '30212213242536',
  '|': '2027',
  '}': '10212233242516',
  '~': '04133443',
  '≥': '014305 0747',
  '−': '0343',
  '×': '1335 1533',
  '…': '0606 2626 4646',
};
