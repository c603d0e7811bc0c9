import { MemoryOutbox } from '../../src/adapters/memory/outbox.ts'
import { outboxContract } from './outbox.ts'

outboxContract('memory', async (options) => new MemoryOutbox(options))
