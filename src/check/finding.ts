/** What may be wrong with a picture, the most serious first. */
export const ISSUES = [
  'leak',
  'conflicting labels',
  'label error',
  'exact duplicate',
  'near duplicate',
  'unreadable',
  'empty',
  'outlier',
  'tiny',
  'grey',
] as const;
export type Issue = (typeof ISSUES)[number];

/** What each issue means and what to do about it, in a line. */
export const ISSUE_MEANINGS: Readonly<Record<Issue, string>> = {
  leak: 'a training picture is in validation or test too: results there are too good',
  'conflicting labels': 'the same picture with different labels',
  'label error': 'heads that have not seen the picture are confident of another label',
  'exact duplicate': 'the same file again',
  'near duplicate': 'the same picture again: resized, re-encoded or mirrored',
  unreadable: 'the file could not be read',
  empty: 'nearly one colour: nothing to see',
  outlier: 'unlike all others: perhaps it does not belong here',
  tiny: 'so small that there is little to see',
  grey: 'without colour, in a data set with colour',
};

/** Something about one picture. */
export interface Finding {
  issue: Issue;
  path: string;
  /** How clear it is, higher first. What the number means depends on the issue. */
  score: number;
  /** In words. */
  detail: string;
  /** The label that the picture probably should have. */
  suggestedLabel?: string | undefined;
  /** All labels that it probably should have, if the data set has lists of labels. */
  suggestedLabels?: string[] | undefined;
  /** The other picture that it is about. */
  related?: string | undefined;
}
