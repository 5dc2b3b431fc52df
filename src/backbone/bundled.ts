import { fileURLToPath } from 'node:url';

/** Name of the trunk that ships with the project, pretrained on generated pictures; see models/README.md. */
export const BUNDLED = 'resnet18-bundled.int8';

/** Where it lies: in the package, whatever the working directory is. */
export const BUNDLED_PATH = fileURLToPath(new URL(`../../models/${BUNDLED}.onnx`, import.meta.url));

/**
 * Validation accuracy, in percent, of a head on the ants and bees of PyTorch's transfer learning tutorial: with the bundled
 * features, see the model card, and with ImageNet's, as the tutorial reports (0.948 to 0.954, best of 25 epochs).
 */
export const ANTS_AND_BEES = { bundled: 78.4, imageNet: 95 };
