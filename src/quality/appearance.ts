import { chromaOf, spreadOf, type Look } from '../images/index.js';
import type { Finding } from './finding.js';
import type { Pictures } from './pictures.js';

/** Grey levels of deviation below which there is nothing to see: photographs of Imagenette, ants and bees have 7 or more. */
const EMPTY_SPREAD = 3;

/** Grey pictures out of JPEG files have 0: of 1220 Imagenette pictures, 20 have that, 2 more up to this, and 1193 above 8. */
const GREY_CHROMA = 4;

/** Where more of the pictures than this are grey, being so is nothing odd. */
const MOSTLY = 0.5;

/** The trunk sees pictures of 224 pixels; one of this many is enlarged to four times its size, and blurred. */
const TINY_SIDE = 64;

/** Pictures that are nearly of one colour or grey, which only their looks tell, or tiny. */
export function findOddLooks({ rows }: Pictures, looks: readonly (Look | undefined)[]): Finding[] {
  const findings: Finding[] = [];
  const grey: Finding[] = [];
  rows.forEach(({ path, width, height }, row) => {
    if (Math.min(width, height) < TINY_SIDE) {
      const detail = `${width} × ${height} pixels`;
      findings.push({ issue: 'tiny', path, score: -Math.min(width, height), detail });
    }
    const look = looks[row];
    if (!look) return;
    const [spread, chroma] = [spreadOf(look), chromaOf(look)];
    if (spread < EMPTY_SPREAD) {
      const detail = `brightness varies by ${spread.toFixed(1)} of 255 levels`;
      findings.push({ issue: 'empty', path, score: -spread, detail });
    } else if (chroma <= GREY_CHROMA) {
      grey.push({ issue: 'grey', path, score: -chroma, detail: 'no colour' });
    }
  });
  return grey.length > MOSTLY * rows.length ? findings : [...findings, ...grey];
}
