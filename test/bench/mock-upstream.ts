/** A model provider in a process of its own: answers at once, or streams at the pace the model name asks for. */

import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { chatFrames, messagesFrames } from './frames.ts'
import type { StreamFrames } from './frames.ts'
import { answerBytes, chunk, lastChunk, MessageReader, streamHead } from './framing.ts'
import { stampNow } from './stamp.ts'
import { behaviourOf, completion } from './workloads.ts'

/** Chunks that leave together when a stream is not paced. */
const burstSize = 16

const wholeAnswers = new Map<number, Buffer>()

function wholeAnswer(bytes: number): Buffer {
  let answer = wholeAnswers.get(bytes)
  if (!answer) wholeAnswers.set(bytes, (answer = answerBytes(completion(bytes))))
  return answer
}

function stream(socket: Socket, frames: StreamFrames, intervalMs: number, chunks: number): void {
  let left = chunks
  const timed = (): string => chunk(frames.text(`${stampNow()} word`))
  const end = (): void => void socket.write(chunk(frames.last) + lastChunk)
  socket.cork()
  socket.write(streamHead)
  socket.write(chunk(frames.first) + timed())
  socket.uncork()
  left--
  if (intervalMs > 0) {
    const timer = setInterval(() => {
      if (socket.destroyed) clearInterval(timer)
      else if (left-- > 0) socket.write(timed())
      else {
        clearInterval(timer)
        end()
      }
    }, intervalMs)
    return
  }
  const burst = (): void => {
    if (socket.destroyed) return
    let text = ''
    for (let count = 0; count < burstSize && left > 0; count++, left--) text += timed()
    if (left === 0) {
      socket.write(text)
      end()
    } else if (socket.write(text)) setImmediate(burst)
    else socket.once('drain', burst)
  }
  burst()
}

const server = createServer({ noDelay: true }, (socket) => {
  const reader = new MessageReader((head, body) => {
    const behaviour = behaviourOf(body)
    if (behaviour.kind === 'whole') socket.write(wholeAnswer(behaviour.bytes))
    else
      stream(
        socket,
        head.startsWith('POST /v1/messages') ? messagesFrames : chatFrames,
        behaviour.intervalMs,
        behaviour.chunks,
      )
  })
  socket.on('data', (bytes: Buffer) => reader.push(bytes))
  // Clients may leave at any time.
  socket.on('error', () => socket.destroy())
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.once('disconnect', () => process.exit())
