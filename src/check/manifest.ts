import type { ListedPicture } from '../store/dataset-rows.js';
import { LastlayerError } from '../util/errors.js';
import { csvLine } from '../util/format.js';
import { grouped } from '../util/grouped.js';
import type { DataCheck } from './check-data.js';
import type { Finding } from './finding.js';

const HEADER = 'path,label,split,group,weight,issue,suggested_label,related,detail';

/**
 * The data set as a CSV manifest (RFC 4180) with a row for each picture, which `embed` takes as it is or edited, and the
 * findings in additional columns: the issues, the most serious first, separated by `; `. Pictures with findings
 * come first, in the order of the findings, then the others, by path. Lists of labels are separated by `;`.
 * @throws {LastlayerError} if a label in a list holds a semicolon, or only some pictures have lists
 */
export function toManifest({ pictures, findings }: DataCheck): string {
  const ofPath = grouped(findings, ({ path }) => path);
  const hasLists = pictures.some(({ labels }) => labels);
  if (hasLists) checkLists(pictures);
  const header = hasLists ? HEADER.replaceAll('label', 'labels') : HEADER;
  const rank = new Map([...ofPath.keys()].map((path, i) => [path, i]));
  const rankOf = ({ path }: ListedPicture) => rank.get(path) ?? rank.size;
  const sorted = pictures.toSorted((a, b) => rankOf(a) - rankOf(b));
  const lines = sorted.map(({ path, label, labels, split, group, weight }) => {
    const found = ofPath.get(path) ?? [];
    const suggestion = found.find(
      ({ suggestedLabel, suggestedLabels }) => suggestedLabel !== undefined || suggestedLabels,
    );
    const joined = (text: (finding: Finding) => string) => found.map(text).join('; ');
    return csvLine([
      path,
      labels?.join(';') ?? label,
      split,
      group,
      weight?.toString(),
      joined(({ issue }) => issue),
      suggestion?.suggestedLabels?.join(';') ?? suggestion?.suggestedLabel,
      found.find(({ related }) => related !== undefined)?.related,
      joined(({ detail }) => detail),
    ]);
  });
  return `${header}\n${lines.join('')}`;
}

/** Refuses what a CSV manifest cannot express. */
function checkLists(pictures: DataCheck['pictures']): void {
  for (const { labels, path } of pictures) {
    if (!labels) {
      throw new LastlayerError(
        `${path} has no list of labels, which in a CSV manifest looks like an empty one. Give it one, or leave --out out; ` +
          `--json has the findings too.`,
      );
    }
    const bad = labels.find((label) => label.includes(';'));
    if (bad === undefined) continue;
    throw new LastlayerError(
      `${path}: the label ${JSON.stringify(bad)} holds a semicolon, which separates labels in a CSV manifest. Rename it, or ` +
        `leave --out out; --json has the findings too.`,
    );
  }
}
