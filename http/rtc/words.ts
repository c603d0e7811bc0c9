/** What the rtc-service says to people, in the languages that it speaks (RFC 9110 section 12.5.4). */

import { CODES, type CodeName, type Refusal } from '../../src/errors.ts'

export type Language = 'en' | 'zh'

/** As `Content-Language` names them. */
export const LANGUAGE_TAGS: Readonly<Record<Language, string>> = { en: 'en', zh: 'zh-CN' }

/** When a client names none that is spoken here. */
const FALLBACK: Language = 'en'

/** What was done. */
export const DONE = {
  initiated: { en: 'call initiated', zh: '通话发起成功' },
  answered: { en: 'call answered', zh: '接听成功' },
  rejected: { en: 'call rejected', zh: '已拒绝' },
  hungUp: { en: 'call ended', zh: '通话已结束' },
  held: { en: 'success', zh: '操作成功' },
  transferring: { en: 'call is being transferred', zh: '通话转接中' },
  invited: { en: 'invited', zh: '邀请成功' },
  success: { en: 'success', zh: 'success' },
} as const satisfies Record<string, Record<Language, string>>

export type Done = keyof typeof DONE

/** Refusals in Chinese; in English the refusal itself says it. */
export const REFUSED_ZH: Readonly<Record<CodeName, string>> = {
  badRequest: '请求参数有误',
  unauthorized: '未登录或令牌无效',
  forbidden: '没有权限',
  notFound: '通话或路径不存在',
  tooLarge: '请求内容过大',
  keyReused: '该 Idempotency-Key 已用于其他请求',
  tooMany: '请求过于频繁，请稍后再试',
  internal: '服务器内部错误',
  unavailable: '服务暂不可用，请稍后再试',
  busy: '对方忙线中',
  callIdTaken: '通话ID已被使用',
  unreachable: '对方不在线',
  handledElsewhere: '已在其他设备上处理',
  alreadyOver: '通话已经结束',
  callerInCall: '您正在通话中',
  notSupported: '对方的客户端不支持此功能',
  notNow: '当前通话状态不允许此操作',
  roomFull: '通话人数已满',
}

const NAMES = new Map(Object.entries(CODES).map(([name, { code }]) => [code as number, name as CodeName]))

/**
 * Codes below 1000 are for those who write the client: the details, which name fields, stand behind the sentence in
 * English. The others may be shown to a user.
 */
export function refusedIn(language: Language, { code, message }: Pick<Refusal, 'code' | 'message'>): string {
  const name = NAMES.get(code)
  if (language === 'en' || name === undefined) return message
  return code < 1000 ? `${REFUSED_ZH[name]}（${message}）` : REFUSED_ZH[name]
}

/** The language that a client likes best, of those that are spoken here. */
export function languageOf(acceptLanguage: string | undefined): Language {
  if (acceptLanguage === undefined) return FALLBACK
  const liked = { en: 0, zh: 0 }
  const named = new Set<Language>()
  let others = 0
  for (const range of acceptLanguage.split(',', MOST_RANGES)) {
    const [, tag = '', weight = '1'] = RANGE.exec(range) ?? []
    const language = tag.slice(0, 2).toLowerCase()
    if (tag === '*') others = Number(weight)
    else if ((language === 'en' || language === 'zh') && /^..(-|$)/.test(tag)) {
      liked[language] = Math.max(liked[language], Number(weight))
      named.add(language)
    }
  }
  for (const language of ['en', 'zh'] as const) if (!named.has(language)) liked[language] = others
  return liked.zh > liked.en ? 'zh' : FALLBACK
}

const MOST_RANGES = 32

const RANGE = /^\s*([A-Za-z]{1,8}(?:-[A-Za-z\d]{1,8})*|\*)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?$/
