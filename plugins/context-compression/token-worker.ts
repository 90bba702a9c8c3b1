/** The thread that counts tokens: the vocabularies take 70 MB each and a long text takes its time. */

import { parentPort } from 'node:worker_threads'
import { piecesOf } from './text-pieces.ts'
import type { Encoding, FromWorker, Taken, ToWorker } from './token-counter.ts'

type Tokenizer = (text: string) => number

/** Results for words that the tokenizer keeps: each may be as long as a piece, so a few are enough. */
const mergeCacheSize = 1_000
/** How fine the piece is cut that fits in part only, in UTF-16 units. */
const smallestPiece = 32

const tokenizers = new Map<Encoding, Promise<Tokenizer>>()

/** Loads a vocabulary when it is first needed. Marks such as `<|endoftext|>` are text like any other in a prompt. */
function tokenizer(encoding: Encoding): Promise<Tokenizer> {
  const loaded = tokenizers.get(encoding) ?? load(encoding)
  tokenizers.set(encoding, loaded)
  return loaded
}

async function load(encoding: Encoding): Promise<Tokenizer> {
  const { countTokens, setMergeCacheSize } = await (encoding === 'cl100k_base'
    ? import('gpt-tokenizer/encoding/cl100k_base')
    : import('gpt-tokenizer/encoding/o200k_base'))
  setMergeCacheSize(mergeCacheSize)
  const options = { disallowedSpecial: new Set<string>() }
  return (text) => countTokens(text, options)
}

function count(countTokens: Tokenizer, text: string): number {
  let tokens = 0
  for (const piece of piecesOf(text)) tokens += countTokens(piece)
  return tokens
}

/** As much of one end of a text as has at most so many tokens. */
function take(countTokens: Tokenizer, text: string, limit: number, end: 'head' | 'tail'): Taken {
  const taken = { length: 0, tokens: 0 }
  const takeFrom = (pieces: readonly string[], last: boolean): void => {
    for (const piece of end === 'head' ? pieces : pieces.toReversed()) {
      const tokens = countTokens(piece)
      if (taken.tokens + tokens <= limit) {
        taken.length += piece.length
        taken.tokens += tokens
        continue
      }
      if (!last) takeFrom([...piecesOf(piece, smallestPiece)], true)
      return
    }
  }
  takeFrom([...piecesOf(text)], false)
  return taken
}

async function answer(message: ToWorker): Promise<FromWorker> {
  const { id } = message
  try {
    const countTokens = await tokenizer(message.encoding)
    return message.kind === 'count'
      ? { id, result: message.texts.map((text) => count(countTokens, text)) }
      : { id, result: take(countTokens, message.text, message.tokens, message.end) }
  } catch (error) {
    return { id, failure: String(error) }
  }
}

async function reply(message: ToWorker): Promise<void> {
  parentPort?.postMessage(await answer(message), [])
}

parentPort?.on('message', (message: ToWorker) => void reply(message))
