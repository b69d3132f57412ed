import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { globSync } from 'tinyglobby'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The suites that take minutes, longest first: begun last, one of them would keep one core waiting for the other. */
const LONG =
  'attack interrupted gateway prove schedule verify rotate-faults rotate sandbox seccomp incident egress rotate-crash devices access bad-input credential incident-crash'.split(
    ' ',
  )

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = (file: TestSpecification) => {
      const found = LONG.indexOf(basename(file.moduleId, '.test.ts'))
      return found < 0 ? LONG.length : found
    }
    return [...files].sort((a, b) => rank(a) - rank(b))
  }
}

// Forks, because suites change the umask; more of them than this only get in each other's way.
const ordinary = { testTimeout: 30_000, pool: 'forks', maxWorkers: 3 } as const

/**
 * Suites of these folders, in one process each worker. A suite that puts its own module in the place of another has a process of
 * its own.
 */
function suites(name: string, folders: readonly string[]) {
  const include = folders.map(folder => `test/${folder}/**/*.test.ts`)
  const mocking = globSync(include).filter(file => readFileSync(file, 'utf8').includes('vi.mock('))
  return [
    { test: { ...ordinary, name, include, exclude: mocking, isolate: false } },
    { test: { ...ordinary, name: `${name}-mocking`, include: mocking } },
  ]
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      ...suites('unit', ['unit']),
      // The stores' contract, what starts real processes, and rotations that are killed at every point.
      ...suites('slow', ['contract', 'process', 'crash']),
      {
        test: {
          name: 'live',
          include: ['test/live/**/*.test.ts'],
          // A gateway takes 10 to 30 s to start on two busy cores.
          testTimeout: 240_000,
          hookTimeout: 300_000,
          pool: 'forks',
          maxWorkers: 2,
        },
      },
    ],
  },
})
