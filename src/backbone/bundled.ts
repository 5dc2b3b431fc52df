import { fileURLToPath } from 'node:url';

/** Name of the trunk that ships with the project, pretrained on generated pictures; see models/README.md. */
export const BUNDLED = 'resnet18-bundled.int8';

/** Where it lies: in the package, whatever the working directory is. */
export const BUNDLED_PATH = fileURLToPath(new URL(`../../models/${BUNDLED}.onnx`, import.meta.url));
