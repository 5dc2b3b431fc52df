import { loadBackbone } from '../backbone/load.js';
import { Classifier } from '../classify/classifier.js';
import type { Head } from '../head/head.js';
import { heatColour, scaleOf } from '../image/heat-map.js';
import { LastlayerError } from '../util/errors.js';
import type { EvaluatedPicture } from './evaluate.js';
import { html, type Html } from './html.js';
import type { HeatData } from './page-data.js';
import type { ShownPictures } from './pictures.js';

/** Where classes were seen in the pictures that are worth a look. */
export interface ExplainedPictures {
  scale: number;
  /** Of the picture, what the network sees. */
  seen: { resize: number; crop: number };
  /** By path, and by the index of the label. */
  maps: ReadonlyMap<string, ReadonlyMap<number, number[][]>>;
}

/**
 * Explains the mistakes and the least certain and typical pictures by the head itself, also where others have predicted them out of fold.
 * @param file of the head, named in errors
 * @returns the reason where that cannot be done, as the backbone is not here or has no feature map
 * @throws the signal's reason, once it aborts
 */
export async function explainPictures(
  file: string,
  head: Head,
  { topLosses, leastCertain, leastTypical }: ShownPictures,
  { signal, onProgress }: { signal: AbortSignal | undefined; onProgress: (done: number, total: number) => void },
): Promise<ExplainedPictures | { reason: string }> {
  const pictures = [...topLosses.flatMap((group) => group.pictures), ...leastCertain, ...leastTypical];
  const paths = [...new Set(pictures.map(({ path }) => path))];
  const maps = new Map<string, Map<number, number[][]>>();
  const ofPrediction: number[][][] = [];
  const predicted = new Map(pictures.map(({ path, predicted: [first] }) => [path, first] as const));
  try {
    const backbone = await loadBackbone({ model: head.modelId, neededBy: file });
    await using classifier = new Classifier(backbone, head);
    for await (const found of classifier.explainMany(paths, { classes: head.labels.length, signal })) {
      if (found.error === undefined) {
        const all = new Map(found.explanations.map(({ label, shares }) => [head.indexOf(label)!, shares]));
        maps.set(found.image, all);
        ofPrediction.push(all.get(predicted.get(found.image) ?? 0)!);
      }
      onProgress(maps.size, paths.length);
    }
    const { resize, crop } = backbone.transform;
    return { scale: scaleOf(ofPrediction), seen: { resize, crop }, maps };
  } catch (error) {
    if (!(error instanceof LastlayerError) || signal?.aborted) throw error;
    return { reason: error.message };
  }
}

/** The labels whose maps a card shows: that of its group, or the predicted ones and the true ones. */
export function mappedLabels({ labels, predicted }: EvaluatedPicture, group: number | undefined): number[] {
  return group === undefined ? [...new Set([...predicted, ...labels])].slice(0, MOST) : [group];
}

/** Maps on one card. */
const MOST = 3;

/** The maps of a picture for the page's script. The colours of shares below 0 and above the scale are those of 0 and of the scale. */
export function heatData(
  { maps, scale }: ExplainedPictures,
  path: string,
  labels: readonly number[],
  names: readonly string[],
): HeatData[] {
  const ofPicture = maps.get(path);
  if (!ofPicture) return [];
  return labels.flatMap((label) => {
    const shares = ofPicture.get(label);
    if (!shares) return [];
    const bytes = shares.flat().map((share) => Math.round(255 * Math.min(Math.max(share / scale, 0), 1)));
    return [{ label: names[label]!, rows: shares.length, bytes: Buffer.from(bytes).toString('base64') }];
  });
}

/** The switch for the maps of a section, and what their colours mean. */
export function heatSwitch(explained: ExplainedPictures | { reason: string } | undefined): Html | undefined {
  if (!explained) return undefined;
  if ('reason' in explained) {
    return html`<p class="screen"><small>Where the classes were seen is not shown. ${explained.reason}</small></p>`;
  }
  if (explained.maps.size === 0) return undefined;
  const stops = Array.from({ length: 17 }, (_, i) => `rgb(${heatColour(i / 16).join()})`);
  return html`<div class="heat screen">
    <label><input type="checkbox" class="show-heat" /> Show where the classes were seen</label>
    <p class="colours" hidden>
      <span>share: 0 or less</span>
      <i style="background:linear-gradient(to right,${stops.join()})"></i>
      <span>${explained.scale} or more</span>
      <small>
        By the head itself, also where the predictions are those of cross-validation. A place's share is the logit that
        it would get on its own; the logit is the mean of the shares. The darkest parts are not looked at.
      </small>
    </p>
  </div>`;
}
