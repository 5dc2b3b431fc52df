import { describeThreshold, MARGINS, STEPS, type Thresholds } from '../../report/threshold.js';
import { htmlPercent as percent } from '../../util/format.js';
import { find } from '../dom.js';

/** The slider says what its threshold means, and moves the line of the figure. */
export function followThreshold(thresholds: Thresholds): void {
  const slider = find('threshold', HTMLInputElement);
  const text = find('threshold-text', HTMLOutputElement);
  const line = document.querySelector<SVGLineElement>('[data-threshold]');
  const first = slider.valueAsNumber;
  const bounds = line?.ownerSVGElement?.viewBox.baseVal;
  slider.addEventListener('input', () => {
    const step = slider.valueAsNumber;
    text.textContent = describeThreshold(thresholds, step);
    slider.setAttribute('aria-valuetext', percent(step / STEPS));
    const width = (bounds?.width ?? 0) - MARGINS.left - MARGINS.right;
    line?.setAttribute('transform', `translate(${(width * (step - first)) / STEPS} 0)`);
  });
}
