/** Where the backbone runs. All but `cpu` need a build of onnxruntime-node that has the provider. */
export const DEVICES = ['cpu', 'cuda', 'coreml', 'dml', 'webgpu'] as const;
export type Device = (typeof DEVICES)[number];
