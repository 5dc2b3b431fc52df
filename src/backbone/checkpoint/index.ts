export { detectCheckpointFormat, readCheckpoint } from './read-checkpoint.js';
export type { Checkpoint, CheckpointFormat } from './read-checkpoint.js';
