/** From the pictures of a data set to embeddings in the store. */
export { embedDataset, type EmbedOptions, type EmbedProgress, type EmbedSummary } from '../embed/embed.js';
