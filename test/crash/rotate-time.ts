/** A clock that moves only when somebody waits, so that waiting takes no time. */
import { createRequire } from 'node:module'
import type * as timers from 'node:timers/promises'
import { vi } from 'vitest'

/** The timers themselves, also where a suite has replaced them. */
const real: typeof timers = createRequire(import.meta.url)('node:timers/promises')

let passed = 0
let told: (milliseconds: number) => void = () => {}

/** Lets time pass for everybody. */
export function wait(milliseconds: number): void {
  passed += milliseconds
  told(milliseconds)
}

/** From here on `performance.now()` is this clock, and somebody else is told of the time as well. */
export function takeClock(tell: (milliseconds: number) => void): void {
  told = tell
  vi.spyOn(performance, 'now').mockImplementation(() => passed)
}

/** What takes the place of `node:timers/promises`. */
export function instantTimers(): typeof timers {
  const instant = async <T>(milliseconds = 0, value?: T) => {
    wait(milliseconds)
    return value
  }
  const copy = { ...real, setTimeout: instant as typeof timers.setTimeout }
  return { ...copy, default: copy } as typeof timers
}
