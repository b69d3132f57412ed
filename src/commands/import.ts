import { resolve } from 'node:path'
import { nameThem } from '../../steps/import/answers.ts'
import { remaining } from '../../steps/import/context.ts'
import { findSecrets } from '../../steps/import/find.ts'
import { type ImportContext, importSteps } from '../../steps/import/index.ts'
import { unfinishedMoveProblems } from '../../steps/move/context.ts'
import type { Answers } from '../deployment/answers.ts'
import type { Layout } from '../deployment/layout.ts'
import { ownerOfSecrets } from '../deployment/owner.ts'
import { Cancelled, Exit, type ExitCode, UsageError, visible } from '../errors.ts'
import { allSecretNamesOf } from '../gateway/policy.ts'
import { runProcedure } from '../procedure/run.ts'
import type { Step, Suppression } from '../procedure/step.ts'
import { envelope } from '../report/json.ts'
import {
  credentialOf,
  forbidCoreDumps,
  type GlobalOptions,
  openSession,
  type Program,
  runtimeOf,
  type Session,
  storeOf,
} from './program.ts'
import { savedDeployment } from './verify.ts'

export interface ImportOptions extends GlobalOptions {
  /** The folder with what somebody made by hand. */
  from?: string
}

/** More places than these are for the table to say. */
const MOST_LINES = 20

type Context = ImportContext & { layout: Layout; answers: Answers; suppressions: readonly Suppression[] }

/** The secrets are named in the answers before they leave the files. */
const steps: readonly Step<Context>[] = importSteps.flatMap(step =>
  step.id === 'import.replace' ? [nameThem, step] : [step],
)

/** Brings plaintext secrets of a set-up that was made by hand into the store. 0: none is left there; 1: some are. */
export async function storeImport(program: Program, options: ImportOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  await forbidCoreDumps(session)
  const { answers, suppressions } = savedDeployment(session)
  refuse(session, options)
  refuseDuringMove(session.layout)
  const tell = (text: string) => (options.quiet ? undefined : program.stderr.write(text))
  const credential = await credentialOf(options.storeCredential, program)
  const store = await storeOf(session, program, answers, {
    owner: () => ownerOfSecrets(session.layout, program.person),
    credential: () => credential,
  })
  try {
    const context: Context = {
      folder: resolve(program.cwd, options.from ?? '.'),
      layout: session.layout,
      answers,
      suppressions,
      store,
      redactor: session.redactor,
      known: allSecretNamesOf(answers),
      now: program.now,
      say: line => tell(`${line}\n`),
      found: {},
    }
    await findSecrets.run(context, program.signal)
    const { secrets = [] } = context.found
    const moves = options.dryRun !== true && secrets.some(secret => secret.stays === undefined)
    if (moves) {
      if (session.interactive) await confirm(session, program)
      const quiet = { ...context, say: () => {} }
      await runProcedure('store-import', steps, quiet, runtimeOf(session, program, 'store import', false))
    }
    const left = remaining(context.found)
    tell(lastWords(left, moves ? (options.dir ?? '.') : undefined, options.dryRun === true))
    const head = {
      version: program.version,
      command: 'store import',
      deployment: session.layout.root,
      startedAt,
    }
    if (options.json)
      program.stdout.write(
        envelope(head, {
          secrets: secrets.map(({ file, line, where, kind, name, uses, stays }) => ({
            ...{ file, line, where, kind, name },
            ...(uses === undefined ? {} : { uses }),
            ...(stays === undefined ? {} : { stays }),
          })),
          remarks: context.found.remarks ?? [],
          // Where a secret still stands in plain text, whatever was moved.
          remains: left,
          moved: moves,
          done: options.dryRun !== true && left.length === 0,
        }),
      )
    return left.length > 0 ? Exit.failed : Exit.done
  } finally {
    await store.close()
  }
}

/** What is imported in the middle of a move would be in the store that is given up. */
function refuseDuringMove(layout: Layout): void {
  const problems = unfinishedMoveProblems(layout)
  if (problems.length > 0) throw new UsageError(problems)
}

function refuse(session: Session, options: ImportOptions): void {
  const problems = []
  if (options.from === undefined)
    problems.push({
      field: 'folder',
      allowed: 'the folder with openclaw.json, .env or a Compose file',
      flag: '--from',
    })
  if (!session.interactive && options.yes !== true && options.dryRun !== true)
    problems.push({
      field: 'consent',
      allowed:
        'secrets are taken out of the files once the store has given them back; look first with --dry-run',
      flag: '--yes',
    })
  if (problems.length > 0) throw new UsageError(problems)
}

/** Errors: `Cancelled`. */
async function confirm({ accessible }: Session, program: Program): Promise<void> {
  const { voiceOn } = await import('../wizard/voice.ts')
  const voice = voiceOn({
    input: program.stdin,
    output: program.stderr,
    accessible,
    signal: program.signal,
  })
  const answer = await voice.choose(
    'Nothing has been changed yet. Put these into the store, and references in their places?',
    [
      { value: 'go', label: 'Go ahead' },
      { value: 'leave', label: 'Leave without doing anything' },
    ],
    'go',
  )
  if (answer !== 'go') throw new Cancelled('Nothing was changed.')
}

/** What was done and what was not: where secrets still stand, and, if some were moved, what is to be done with them now. */
function lastWords(left: readonly string[], directory: string | undefined, dryRun: boolean): string {
  const more = left.length > MOST_LINES ? [`and ${left.length - MOST_LINES} more`] : []
  const places = [...left.slice(0, MOST_LINES).map(visible), ...more].join(', ')
  const remains =
    left.length === 0
      ? []
      : [
          `These places ${dryRun ? 'would still hold' : 'still hold'} a secret: ${places}. The lines above say why.`,
        ]
  const moved =
    directory === undefined
      ? []
      : [
          'The values are in the store, and out of the places that are named with them above. Old copies (backups, a shell’s history,',
          'a repository) still have them: what has lain in plain text where others could read it, replace at its provider.',
          `Deliver them to the gateway: npx create-openclaw-secure ${directory}`,
        ]
  const lines = [...moved, ...remains]
  return lines.length === 0 ? '' : ['', ...lines, ''].join('\n')
}
