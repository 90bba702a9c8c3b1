import type { ModelInfo, ModelsRequest } from '@hadrian/core/provider'

import { isObject } from './wire.ts'

/** Asks for all models at once; 1000 is the largest page the API gives. */
export function modelsRequest(version: string): ModelsRequest {
  return {
    wire: {
      method: 'GET',
      path: '/v1/models?limit=1000',
      headers: { 'anthropic-version': version },
      dialect: 'anthropic-models',
    },
    read: readModels,
  }
}

function readModels(body: unknown): readonly ModelInfo[] {
  const list = isObject(body) && Array.isArray(body['data']) ? body['data'] : []
  return list.filter(isObject).flatMap((entry): ModelInfo[] => {
    const { id, display_name: name, created_at: createdAt, max_input_tokens: input, max_tokens: output } = entry
    if (typeof id !== 'string') return []
    const createdMs = typeof createdAt === 'string' ? Date.parse(createdAt) : NaN
    return [
      {
        id,
        ownedBy: 'anthropic',
        ...(typeof name === 'string' && { name }),
        ...(createdMs > 0 && { created: Math.floor(createdMs / 1000) }),
        ...(isCount(input) && { contextLength: input }),
        ...(isCount(output) && { maxOutputTokens: output }),
      },
    ]
  })
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0
}
