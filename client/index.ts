/** The typed client for Carillon: browsers (plain ES modules) and Node. See README.md beside this file. */

export { CallClient, type PlaceOptions } from './client.ts'
export type { Clock } from './clock.ts'
export { CallError, type ErrorCode, type LocalCode, TokenRefusedError } from './errors.ts'
export type * from './types.ts'
export * from './wire.ts'
