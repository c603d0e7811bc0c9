/** The thread that has a SQLite file: does what it is asked, one after the other. Loaded by sqlite.ts. */

import { parentPort, workerData } from 'node:worker_threads'
import { SqliteEngine } from './engine.ts'
import type { Answer, Question } from './messages.ts'

const engine = new SqliteEngine((workerData as { path: string }).path)

parentPort?.on('message', (question: Question) => {
  const { id, until } = question
  const late = question.kind !== 'close' && Date.now() > until
  const outcome = late
    ? { failure: { kind: 'unavailable', reason: 'the disk is too slow: it was not begun in time' } as const }
    : engine.perform(question)
  const answer: Answer = { id, ...outcome }
  parentPort?.postMessage(answer)
  // with nothing left to listen to, the thread ends
  if (question.kind === 'close') parentPort?.close()
})
