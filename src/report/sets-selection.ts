import type { JudgedSet } from './judged-sets.js';
import { evenly, ON_MAP } from './selection.js';

/** Labels whose mistakes are shown, those with the most of them; and pictures of each kind. */
const LABELS = 12;
const PICTURES = 6;

export interface LabelMistakes {
  /** Its number. */
  label: number;
  total: number;
  /** Pictures that have it and were not given it, and the other way about; the most confident first. */
  missed: JudgedSet[];
  wronglyGiven: JudgedSet[];
}

/** The pictures that a report shows of all that were judged. */
export interface ShownSets {
  mistakes: LabelMistakes[];
  map: JudgedSet[];
}

/** Chooses the pictures to show, so that the report stays small however many were judged. @param count of labels */
export function chooseSets(pictures: readonly JudgedSet[], count: number): ShownSets {
  const mistakes = Array.from({ length: count }, (_, label): LabelMistakes => {
    const p = ({ probabilities }: JudgedSet) => probabilities[label] ?? 0;
    const missed = pictures.filter(
      ({ truth, predicted }) => truth.includes(label) && !predicted.includes(label),
    );
    const given = pictures.filter(
      ({ truth, predicted }) => !truth.includes(label) && predicted.includes(label),
    );
    return {
      label,
      total: missed.length + given.length,
      missed: missed.sort((a, b) => p(a) - p(b)).slice(0, PICTURES),
      wronglyGiven: given.sort((a, b) => p(b) - p(a)).slice(0, PICTURES),
    };
  });
  return {
    mistakes: mistakes
      .filter(({ total }) => total > 0)
      .sort((a, b) => b.total - a.total)
      .slice(0, LABELS),
    map: evenly(pictures, ON_MAP),
  };
}

/** All pictures that are shown. */
export function* pathsOfSets({ mistakes, map }: ShownSets): Generator<string> {
  for (const { missed, wronglyGiven } of mistakes) {
    for (const { path } of [...missed, ...wronglyGiven]) yield path;
  }
  for (const { path } of map) yield path;
}
