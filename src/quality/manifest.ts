import { csvLine } from '../images/index.js';
import type { DataCheck } from './check-data.js';
import type { Finding } from './finding.js';

const HEADER = 'path,label,split,group,weight,issue,suggested_label,related,detail';

/**
 * The data set as a CSV manifest (RFC 4180) with a row for each picture, which `embed` takes as it is or after it was edited,
 * and what was found in further columns: the issues, the gravest first, separated by `; `.
 */
export function toManifest({ pictures, findings }: DataCheck): string {
  const ofPath = new Map<string, Finding[]>();
  for (const finding of findings) ofPath.set(finding.path, [...(ofPath.get(finding.path) ?? []), finding]);
  const lines = pictures.map(({ path, label, split, group, weight }) => {
    const found = ofPath.get(path) ?? [];
    const joined = (text: (finding: Finding) => string) => found.map(text).join('; ');
    return csvLine([
      ...[path, label, split, group, weight?.toString()],
      joined(({ issue }) => issue),
      found.find(({ suggestedLabel }) => suggestedLabel !== undefined)?.suggestedLabel,
      found.find(({ related }) => related !== undefined)?.related,
      joined(({ detail }) => detail),
    ]);
  });
  return `${HEADER}\n${lines.join('')}`;
}
