import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { DocumentStore, type Documents } from '../../src/stores/document.ts'

describe('a store that reads and then writes', () => {
  it('gives both together one deadline, not one each', async () => {
    const seen: number[] = []
    const documents: Documents = {
      deadline: 15_000,
      check: async () => 'here',
      read: async (_, until = 0) => {
        seen.push(until)
        return undefined
      },
      write: async (_name, _slots, _revision, until = 0) => {
        seen.push(until)
      },
      remove: async () => {},
      close: async () => {},
    }
    const began = performance.now()
    const value = { rotationId: 'one-1', value: new Secret('x') }
    await new DocumentStore(documents).stage('gateway_token', value, 0)
    expect(seen).toHaveLength(2)
    expect(seen[0]).toBe(seen[1])
    expect(Math.abs((seen[0] ?? 0) - began - 15_000)).toBeLessThan(3000)
  })
})
