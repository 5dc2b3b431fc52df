/** The views of the sidebar: their names, and what one does there. */
import type { QueueName } from '../../label/protocol.js';

export const QUEUE_WORDS: Record<QueueName, { name: string; does: string }> = {
  next: {
    name: 'Next to label',
    does: 'The classifier learns most from these: it is unsure of them, and they are unlike what is labelled.',
  },
  clusters: {
    name: 'Clusters',
    does: 'Pictures without a label that look alike. A cluster is selected as a whole; click what does not belong, then press the key of its class.',
  },
  doubtful: {
    name: 'Doubtful labels',
    does: 'The classifier, trained without them, disagrees with their labels. Enter takes the suggestion, k keeps the label.',
  },
  duplicates: {
    name: 'Duplicates and leaks',
    does: 'The same picture more than once. d keeps the one under the cursor and leaves out the rest; k keeps them all.',
  },
  odd: {
    name: 'Odd ones',
    does: 'Unlike all others, empty, or tiny. x leaves a picture out, k keeps it.',
  },
  accept: {
    name: 'Accept',
    does: 'Label all pictures that the classifier is certain of at once. Look at the sample first.',
  },
};
