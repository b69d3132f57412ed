/** Servers that end with the test that asked for them. */
import { onTestFinished } from 'vitest'
import { type Answers, type Certificate, fakeServer, rawServer } from './vault-servers.ts'

/** A {@link fakeServer} until the test ends. */
export async function serve(answers: Answers, tls?: Certificate) {
  const running = await fakeServer(answers, tls)
  onTestFinished(running.close)
  return running
}

/** A {@link rawServer} until the test ends. */
export async function raw(...args: Parameters<typeof rawServer>) {
  const running = await rawServer(...args)
  onTestFinished(running.close)
  return running
}
