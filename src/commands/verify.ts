import { resolve } from 'node:path'
import { checks } from '../../steps/verify/index.ts'
import { judge } from '../../steps/verify/judge.ts'
import { realWorld } from '../../steps/verify/world.ts'
import type { Answers } from '../deployment/answers.ts'
import { Cancelled, Exit, type ExitCode, ToolError, UsageError } from '../errors.ts'
import type { Finding } from '../procedure/step.ts'
import { envelope, findingsBody } from '../report/json.ts'
import { summarize, textReport } from '../report/text.ts'
import { generateToken } from '../secret.ts'
import type { SecretStore } from '../stores/store.ts'
import { readAnswers } from '../wizard/answers-file.ts'
import { fillIn } from '../wizard/gather.ts'
import { composeOf, type GlobalOptions, openSession, type Program, type Session, storeOf } from './program.ts'

export interface VerifyOptions extends GlobalOptions {
  only?: string[]
  format?: 'text' | 'json'
  verbose?: boolean
}

/** Proves the checklist against the running gateway. 0: all passed; 1: something failed; 3: something could not be looked at. */
export async function verify(program: Program, options: VerifyOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  const answers = savedAnswers(session)
  const unknownIds = (options.only ?? []).filter(id => !checks.some(check => matches(check.id, id)))
  if (unknownIds.length > 0)
    throw new UsageError(
      unknownIds.map(id => ({
        field: 'check',
        given: id,
        allowed: checks.map(check => check.id).join(', '),
        flag: '--only',
      })),
    )
  const findings = await verifyDeployment(
    session,
    answers,
    storeOf(session, () => undefined),
    program.signal,
    options.only,
  )
  if (program.signal.aborted) throw new Cancelled('Nothing was changed.')
  if (options.json || options.format === 'json')
    program.stdout.write(
      envelope(
        { version: program.version, command: 'verify', deployment: session.layout.root, startedAt },
        findingsBody(findings.map(({ bySetup: _, ...finding }) => finding)),
      ),
    )
  else
    program.stdout.write(textReport(findings, { colour: session.colour, verbose: options.verbose === true }))
  const { fail, unknown } = summarize(findings)
  return fail > 0 ? Exit.failed : unknown > 0 ? Exit.unknown : Exit.done
}

/** Runs the checks and says for each finding whether setup itself answers for it. */
export async function verifyDeployment(
  session: Session,
  answers: Answers,
  store: SecretStore,
  signal: AbortSignal,
  only?: readonly string[],
): Promise<(Finding & { bySetup: boolean })[]> {
  const chosen = checks.filter(
    check => only === undefined || only.length === 0 || only.some(id => matches(check.id, id)),
  )
  const world = realWorld({
    layout: session.layout,
    answers,
    docker: session.docker,
    searching: session.searching,
    compose: composeOf(session, answers.name),
    run: session.run,
    store,
    journal: session.journal,
    wrongToken: session.redactor.learn(generateToken()),
  })
  const findings = await judge(chosen, world, text => session.redactor.clean(text), signal)
  return findings.map((finding, index) => ({ ...finding, bySetup: chosen[index]?.bySetup === true }))
}

/** The answers of an existing deployment. Errors: `no_deployment`, and a usage error when the file was spoilt. */
export function savedAnswers(session: Session): Answers {
  if (session.saved === undefined)
    throw new ToolError(
      'no_deployment',
      `${session.layout.root} is no deployment of this tool: it has no deployment.yaml`,
      'Name one with --dir, or make one: npx create-openclaw-secure DIRECTORY',
      Exit.usage,
    )
  const { answers, problems } = readAnswers(session.saved, 'deployment.yaml')
  if (problems.length > 0) throw new UsageError(problems, 'Correct deployment.yaml.')
  const place = { directory: session.layout.root, timezone: 'UTC', exposedToNeighbours: false }
  const { answers: complete, open } = fillIn(answers, new Map(), place, true)
  if (open.length > 0)
    throw new UsageError(
      open.map(question => ({
        field: question.path.join('.'),
        allowed: question.kind.allowed,
        flag: question.flag,
      })),
      'Correct deployment.yaml.',
    )
  return complete as Answers
}

/** `ports.*` stands for every check that begins with `ports.`. */
function matches(id: string, pattern: string): boolean {
  return pattern.endsWith('*') ? id.startsWith(pattern.slice(0, -1)) : id === pattern
}
