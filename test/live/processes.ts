/** What every process of this machine shows of itself: its command line and its environment. */
import { readdirSync, readFileSync } from 'node:fs'

export function lookAtProcesses(): { text: string } {
  let text = ''
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name)))
    for (const file of ['environ', 'cmdline'])
      try {
        text += readFileSync(`/proc/${pid}/${file}`, 'latin1')
      } catch {
        // It ended while we looked.
      }
  return { text }
}

/** Looks again and again until it is stopped; what is searched for is known only afterwards. */
export function watchProcesses() {
  const seen = new Set<string>()
  let looks = 0
  const timer = setInterval(() => {
    looks += 1
    for (const part of lookAtProcesses().text.split('\0')) seen.add(part)
  }, 20)
  return {
    stop() {
      clearInterval(timer)
      return { looks, text: [...seen].join('\n') }
    },
  }
}
