/** Defaults that the command line's help names too, without loading what they belong to. */

/** Where `train-head` writes a head, and the other commands look for it. */
export const DEFAULT_HEAD = 'head.safetensors';

/** Folder of the store if none is given. */
export const DEFAULT_STORE = 'embeddings';

/** How many classes are given for a picture, unless another number is asked for. */
export const DEFAULT_TOP_K = 3;
