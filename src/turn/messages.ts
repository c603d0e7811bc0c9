/**
 * STUN and TURN servers as clients are told them (contract, section 6): one schema gives the type and its place in
 * AsyncAPI and OpenAPI.
 */

import { z } from 'zod'

/** SEND `/app/turn/get-turn-credentials`: an empty body and `{}` are the same. */
export const TurnQuery = z.looseObject(
  {
    region: z
      .string()
      .optional()
      .describe('Of several relays those in this region; without it, or where there is none of that name, all.'),
  },
  'body: must be a JSON object',
)
export type TurnQuery = z.output<typeof TurnQuery>

/** One entry of `iceServers`, as RTCPeerConnection takes it. */
export const IceServer = z.object({
  url: z
    .string()
    .describe(
      '`stun:host:port` (RFC 7064) or `turn:host:port?transport=udp` (RFC 7065): UDP, TCP, then `turns:` (TLS).',
    ),
  urls: z.string().describe('The same value under the name that browsers read today.'),
  username: z.string().nullable().describe('`<unix expiry>:<user>`; null for STUN.'),
  credential: z.string().nullable().describe('base64(HMAC-SHA1(secret, username)); null for STUN.'),
})
export type IceServer = z.output<typeof IceServer>

export const TurnCredentials = z.object({
  iceServers: z.array(IceServer).describe('In the order a client should try them. Empty when there is no relay now.'),
  ttl: z.int().positive().describe('Seconds for which the credentials are good from now on.'),
  expiresAt: z.int().describe('When they stop being good for a new allocation, in unix seconds, as in `username`.'),
})
export type TurnCredentials = z.output<typeof TurnCredentials>
