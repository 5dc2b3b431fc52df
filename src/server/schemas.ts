/** The answers as JSON Schema: what they are checked against on their way out, and the OpenAPI description is made from. */

const text = { type: 'string' } as const;
const probability = { type: 'number', minimum: 0, maximum: 1 } as const;

const error = {
  type: 'object',
  required: ['code', 'message'],
  properties: {
    code: { ...text, description: 'for programs' },
    message: { ...text, description: 'for people' },
  },
} as const;

export const errorAnswer = {
  type: 'object',
  required: ['error'],
  properties: { error },
} as const;

const similar = {
  type: 'array',
  description: 'The most similar pictures of the data set, the most similar first',
  items: {
    type: 'object',
    required: ['id', 'label', 'split', 'similarity'],
    properties: {
      id: { ...text, description: 'for /v1/pictures/{id}/thumbnail' },
      label: { ...text, nullable: true },
      labels: { type: 'array', items: text },
      split: { ...text, nullable: true },
      similarity: { type: 'number', description: 'cosine of the embeddings, -1 to 1' },
    },
  },
} as const;

const result = {
  type: 'object',
  description: 'What the head makes of one picture; or why that cannot be read',
  properties: {
    field: { ...text, description: 'of the form' },
    filename: { ...text, description: 'as the client sent it' },
    predictions: {
      type: 'array',
      description: 'The most probable classes, best first',
      items: {
        type: 'object',
        required: ['label', 'probability'],
        properties: { label: text, probability },
      },
    },
    unknown: { type: 'boolean', description: 'whether the picture is probably none of the classes' },
    labels: {
      type: 'array',
      description: 'Of a head of any number of labels: those whose probability reaches their threshold',
      items: text,
    },
    similar,
    error,
  },
} as const;

export const classifyAnswer = {
  type: 'object',
  required: ['head', 'results'],
  properties: {
    head: {
      type: 'object',
      required: ['name', 'id'],
      properties: { name: text, id: { ...text, description: "changes with the head's file" } },
    },
    results: {
      type: 'array',
      description: 'One for each picture, in the order in which they were sent',
      items: result,
    },
  },
} as const;

export const classifyQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    topK: { type: 'integer', minimum: 1, maximum: 1000, default: 3, description: 'classes to name' },
    similar: {
      type: 'integer',
      minimum: 0,
      maximum: 50,
      default: 0,
      description: 'similar pictures to name',
    },
  },
} as const;

export const headParams = {
  type: 'object',
  required: ['name'],
  properties: { name: { ...text, description: 'of a head, see /v1/heads' } },
} as const;

export const pictureParams = {
  type: 'object',
  required: ['id'],
  properties: { id: { ...text, pattern: '^[0-9a-f]{64}$', description: 'of a similar picture' } },
} as const;

export const headsAnswer = {
  type: 'object',
  required: ['heads', 'similar'],
  properties: {
    heads: {
      type: 'array',
      description: 'The first one answers where none is named',
      items: {
        type: 'object',
        required: ['name', 'id', 'kind', 'labels', 'modelId', 'created', 'loaded'],
        properties: {
          name: text,
          id: text,
          kind: { ...text, enum: ['softmax', 'multilabel'] },
          labels: { type: 'array', items: text },
          modelId: { ...text, description: 'the backbone' },
          created: { ...text, description: 'when it was trained' },
          loaded: { ...text, description: 'when the server read it' },
        },
      },
    },
    similar: { type: 'boolean', description: 'whether similar pictures can be asked for' },
  },
} as const;

export const stateAnswer = { type: 'object', required: ['status'], properties: { status: text } } as const;

/** The bodies that are taken, for the description alone: pictures are not checked as JSON is. */
const picture = { schema: { type: 'string', format: 'binary' } } as const;
export const pictureBody = {
  content: {
    'image/*': picture,
    'application/octet-stream': picture,
    'multipart/form-data': {
      schema: {
        type: 'object',
        properties: {
          file: { type: 'array', items: picture.schema, description: 'the name of the field is free' },
        },
      },
    },
  },
} as const;

/** Refusals by status, for a route's `response`. */
export function refusals(...statuses: (keyof typeof REFUSALS)[]) {
  return Object.fromEntries(
    statuses.map((status) => [status, { description: REFUSALS[status], ...errorAnswer }]),
  );
}

const REFUSALS = {
  400: 'The request makes no sense as it is',
  401: 'The API key is missing or wrong',
  404: 'There is no such thing',
  413: 'The body, or the number of pictures, is too large',
  415: 'The body is of a type that is not taken',
  422: 'The picture cannot be read',
  429: 'The server has too much to do; Retry-After says when to come again',
  503: 'The server is stopping, or had no time',
} as const;
