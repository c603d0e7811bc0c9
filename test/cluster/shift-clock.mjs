/**
 * Loaded into a process before its own code (`node --import`): its clock is SHIFT_MS ahead. JavaScript, because the
 * process that loads it knows nothing else.
 */

const ahead = Number(process.env.SHIFT_MS)
const TrueDate = Date

globalThis.Date = class extends TrueDate {
  constructor(...parts) {
    if (parts.length === 0) super(TrueDate.now() + ahead)
    else super(...parts)
  }

  static now() {
    return TrueDate.now() + ahead
  }
}
