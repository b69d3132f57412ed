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

const UNIT = ['test/unit/**/*.test.ts', 'test/contract/**/*.test.ts']
/** A suite that puts its own module in the place of another has a process of its own; the others share theirs. */
const MOCKING = globSync(UNIT).filter(file => readFileSync(file, 'utf8').includes('vi.mock('))

// Forks, because suites change the umask; more of them than this only get in each other's way.
const unit = { testTimeout: 10_000, pool: 'forks', maxWorkers: 3 } as const

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      { test: { ...unit, name: 'unit', include: UNIT, exclude: MOCKING, isolate: false } },
      { test: { ...unit, name: 'unit-mocking', include: MOCKING } },
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
