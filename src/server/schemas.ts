/** The answers as JSON Schema: Fastify serialises by them, and the OpenAPI description is generated from them. */

import { DEFAULT_TOP_K } from '../util/defaults.js';

const text = { type: 'string' } as const;
const texts = { type: 'array', items: text } as const;
const probability = { type: 'number', minimum: 0, maximum: 1 } as const;
const file = { type: 'string', format: 'binary' } as const;

const error = {
  type: 'object',
  required: ['code', 'message'],
  properties: {
    code: { ...text, description: 'For programs' },
    message: { ...text, description: 'For people' },
  },
} as const;

const similar = {
  type: 'array',
  description: 'The most similar pictures of the data set, most similar first',
  items: {
    type: 'object',
    required: ['id', 'path', 'label', 'split', 'similarity'],
    properties: {
      id: { ...text, description: 'See /v1/pictures/{id}/thumbnail' },
      path: { ...text, description: "In the data set's folder; of a picture from elsewhere, the name of its file" },
      label: { ...text, nullable: true },
      labels: texts,
      split: { ...text, nullable: true },
      similarity: { type: 'number', description: 'Cosine of the embeddings, -1 to 1' },
    },
  },
} as const;

const explanations = {
  type: 'array',
  description: 'Where the most probable classes are seen, best first',
  items: {
    type: 'object',
    required: ['label', 'probability', 'logit', 'shares', 'region'],
    properties: {
      label: text,
      probability,
      logit: { type: 'number', description: 'Before the temperature' },
      shares: {
        type: 'array',
        description:
          'Rows from the top: the logit that each place of the picture would get on its own, 7 × 7 for a ResNet. Their mean is the logit',
        items: { type: 'array', items: { type: 'number' } },
      },
      region: {
        type: 'object',
        description: 'The part of the upright picture that the shares cover, in its pixels',
        required: ['left', 'top', 'width', 'height'],
        properties: {
          left: { type: 'number' },
          top: { type: 'number' },
          width: { type: 'number' },
          height: { type: 'number' },
        },
      },
    },
  },
} as const;

const result = {
  type: 'object',
  description: 'The classification of one picture, or an error if it cannot be read',
  properties: {
    field: { ...text, description: 'The field of the form' },
    filename: { ...text, description: 'The file name that the client sent' },
    predictions: {
      type: 'array',
      description: 'The most probable classes, best first',
      items: {
        type: 'object',
        required: ['label', 'probability'],
        properties: { label: text, probability },
      },
    },
    typicality: {
      ...probability,
      nullable: true,
      description:
        'The share of the training pictures, of those that the head got right in cross-validation, that are less typical of the ' +
        'classes; null if the head cannot tell',
    },
    unknown: {
      type: 'boolean',
      description: "Whether the picture is unlike the training pictures: its typicality is below the head's rate",
    },
    labels: {
      ...texts,
      description: 'For a multilabel head: the labels whose probability reaches their threshold',
    },
    similar,
    explanations,
    error,
  },
} as const;

const classified = {
  type: 'object',
  required: ['head', 'results'],
  properties: {
    head: {
      type: 'object',
      required: ['name', 'id'],
      properties: { name: text, id: { ...text, description: "Changes with the head's file" } },
    },
    results: {
      type: 'array',
      description: 'One result per picture, in the order in which the pictures were sent',
      items: result,
    },
  },
} as const;

export const classifyAnswer = {
  description: 'What is in the pictures; as PNG, where the classes are seen in one picture',
  content: { 'application/json': { schema: classified }, 'image/png': { schema: file } },
} as const;

export const classifyQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    topK: {
      type: 'integer',
      minimum: 1,
      maximum: 1000,
      default: DEFAULT_TOP_K,
      description: 'How many classes to return',
    },
    similar: {
      type: 'integer',
      minimum: 0,
      maximum: 50,
      default: 0,
      description: 'How many similar pictures to return',
    },
    explain: {
      type: 'integer',
      minimum: 0,
      maximum: 10,
      default: 0,
      description:
        'For how many of the most probable classes to return where they are seen; with `Accept: image/png`, drawn',
    },
    explainScale: {
      type: 'number',
      minimum: 1e-6,
      description:
        'In a PNG: the share that gets the brightest colour. By default, the largest of the most probable class',
    },
  },
} as const;

export const headParams = {
  type: 'object',
  required: ['name'],
  properties: { name: { ...text, description: 'Name of a head, see /v1/heads' } },
} as const;

export const pictureParams = {
  type: 'object',
  required: ['id'],
  properties: { id: { ...text, pattern: '^[0-9a-f]{64}$', description: 'Id of a similar picture' } },
} as const;

const baseline = {
  type: 'object',
  nullable: true,
  description:
    'How good the head was on pictures that it was not trained on, beside always answering the most common class; null for a ' +
    'multilabel head',
  required: ['label', 'accuracy', 'headAccuracy', 'pictures', 'clearlyBetter'],
  properties: {
    label: { ...text, description: 'The most common class' },
    accuracy: { ...probability, description: 'Of always answering it' },
    headAccuracy: { ...probability, description: 'Of the head' },
    pictures: { type: 'integer', description: 'How many pictures both were evaluated on' },
    clearlyBetter: {
      type: 'boolean',
      description: 'Whether the head is better by more than chance would have it, at 5 %',
    },
  },
} as const;

export const headsAnswer = {
  type: 'object',
  required: ['heads', 'similar'],
  properties: {
    heads: {
      type: 'array',
      description: 'The first head is the default',
      items: {
        type: 'object',
        required: ['name', 'id', 'kind', 'labels', 'modelId', 'created', 'loaded', 'baseline'],
        properties: {
          name: text,
          id: text,
          kind: { ...text, enum: ['softmax', 'multilabel'] },
          labels: texts,
          modelId: { ...text, description: 'Id of the backbone' },
          created: { ...text, description: 'When the head was trained' },
          loaded: { ...text, description: 'When the server loaded it' },
          baseline,
        },
      },
    },
    similar: { type: 'boolean', description: 'Whether similar pictures are available' },
  },
} as const;

export const stateAnswer = { type: 'object', required: ['status'], properties: { status: text } } as const;

export const thumbnailAnswer = { description: 'WebP', content: { 'image/webp': { schema: file } } } as const;

export const metricsAnswer = { description: 'Text', content: { 'text/plain': { schema: text } } } as const;

/** The accepted bodies, for the description alone: pictures are not validated as JSON is. */
export const pictureBody = {
  content: {
    'image/*': { schema: file },
    'application/octet-stream': { schema: file },
    'multipart/form-data': {
      schema: {
        type: 'object',
        properties: { file: { type: 'array', items: file, description: 'Any field name will do' } },
      },
    },
    'application/json': {
      schema: {
        type: 'object',
        required: ['pictures'],
        additionalProperties: false,
        properties: { pictures: { ...texts, description: 'Each as base64, or as a data: URL of it' } },
      },
    },
  },
} as const;

/** The error answers of a route's `response`, by status. */
export function errorAnswers(...statuses: (keyof typeof ERRORS)[]) {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: ERRORS[status], type: 'object', required: ['error'], properties: { error } },
    ]),
  );
}

const ERRORS = {
  400: 'The request is invalid',
  401: 'The API key is missing or wrong',
  404: 'Not found',
  413: 'The body is too large, or has too many pictures',
  415: 'The type of the body is not supported, or it is compressed',
  422: 'The picture cannot be read',
  429: 'The server is overloaded; Retry-After says when to try again',
  503: 'The server is stopping, or the answer took too long',
} as const;
